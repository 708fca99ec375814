//! From a store and an HSM to a claim: compare, ask where nobody can tell, take.

use std::time::Duration;

use super::{Claim, Place, State};
use crate::batch::{BatchError, Halt, Ports, check_claim};
use crate::identity::{ClaimNonce, DeploymentId, StoreId};
use crate::ports::{ClaimKind, Seat};
use crate::takeover::unknown_buckets;

/// Who asks waits so long: longer than any lease that began before he asked.
pub const WAIT: Duration = Duration::from_secs(18);

/// A store that may take the claim.
#[derive(Debug, Clone)]
pub struct Candidate {
    deployment: DeploymentId,
    /// How long to wait for an answer; none when nobody can be serving.
    wait: Option<Duration>,
    /// The question that nobody has answered.
    token: Option<String>,
}

/// Waits for an answer.
#[derive(Debug)]
pub struct Asked {
    candidate: Candidate,
    token: String,
    /// Since boot.
    since: Duration,
}

/// Compares store and HSM; changes nothing. `earlier` is what releases before wrote as the claim of a
/// store at this place.
///
/// # Errors
/// [`Halt::ForeignClaim`] for a copy that was moved, or has fallen behind; [`Halt::RootDoesNotOpen`] for
/// one whose root is gone; [`Halt::NoClaim`] for another HSM.
pub async fn examine(ports: &Ports, earlier: Option<&str>) -> Result<Candidate, BatchError> {
    let deployment = ports.store.deployment().await?;
    let deployment = deployment.ok_or(Halt::NotInitialised)?;
    let meta = ports.store.meta().await?.ok_or(Halt::NotInitialised)?;
    let seat = ports.store.seat().await?;
    let texts = ports.hsm.claim(deployment, ClaimKind::Held).await?;
    if texts.is_empty() {
        return Err(Halt::NoClaim.into());
    }
    let here = ports.store.place();
    let claims: Vec<_> = texts.iter().map(|text| (text, text.parse().ok())).collect();
    let foreign = |text: &String| Halt::ForeignClaim {
        claimed: text.clone(),
        ours: ours(seat.as_ref(), here),
    };
    let of_place = |(text, claim): &&(&String, Option<Claim>)| match claim {
        Some(claim) => claim.place.path == here.path,
        None => seat.is_none() && Some(text.as_str()) == earlier,
    };
    if let Some((text, _)) = claims.iter().find(|claim| !of_place(claim)) {
        return Err(foreign(text).into());
    }
    if !ports.hsm.holds(meta.root(deployment)).await? {
        return Err(Halt::RootDoesNotOpen(meta.share.root.to_string()).into());
    }
    let mut wait = None;
    for (text, claim) in &claims {
        let Some(claim) = claim else { continue };
        if !seat.as_ref().is_some_and(|seat| claim.is_of(seat)) {
            return Err(foreign(text).into());
        }
        let is_sure = match claim.state {
            State::Free => true,
            State::Held => claim.place.is_same_file(here),
            State::Taken => false,
        };
        if !is_sure {
            wait = wait.max(Some(longest_wait(claim)));
        }
    }
    Ok(Candidate {
        deployment,
        wait,
        token: None,
    })
}

/// What is known of a store that has no claim.
fn ours(seat: Option<&Seat>, here: &Place) -> String {
    match seat {
        Some(seat) => format!("sqlite:{}:{}:{}", seat.store, seat.nonce, here.path),
        None => format!("sqlite:{}", here.path),
    }
}

/// A holder that gives up without the HSM has given up by then.
fn longest_wait(claim: &Claim) -> Duration {
    WAIT.saturating_add(claim.max_outage.unwrap_or_default())
}

impl Candidate {
    /// Whose deployment it is.
    #[must_use]
    pub const fn deployment(&self) -> DeploymentId {
        self.deployment
    }

    /// How long to wait for an answer, where somebody may be serving another copy.
    #[must_use]
    pub const fn wait(&self) -> Option<Duration> {
        self.wait
    }

    /// Asks whether somebody serves.
    ///
    /// # Errors
    /// Those of the ports.
    pub async fn ask(self, ports: &Ports) -> Result<Asked, BatchError> {
        let token = draw(ports)?.to_string();
        let asked = ports
            .hsm
            .set_claim(self.deployment, ClaimKind::Wanted, &token);
        asked.await?;
        Ok(Asked {
            candidate: self,
            token,
            since: ports.clock.since_boot(),
        })
    }

    /// Takes the claim under a new nonce: first the store may have it, then the HSM has it, and then it
    /// counts. Whoever is cut off in between has a nonce that the claim bears. Gives how long to wait
    /// before serving: somebody may have looked, and answered, just before the claim was taken.
    ///
    /// # Errors
    /// Those of the ports, [`Halt::ForeignClaim`] when it was taken meanwhile; it can be done again.
    pub async fn take(&self, ports: &Ports) -> Result<Option<Duration>, BatchError> {
        let Some(wait) = self.wait else {
            put(ports, self.deployment, State::Held, Before::Ours).await?;
            let answered = ports.hsm.remove_claim(self.deployment, ClaimKind::Wanted);
            answered.await?;
            return Ok(None);
        };
        put(ports, self.deployment, State::Taken, Before::Ours).await?;
        let asked = ports.hsm.claim(self.deployment, ClaimKind::Wanted).await?;
        let unanswered =
            !asked.is_empty() && asked.iter().all(|it| Some(it) == self.token.as_ref());
        Ok((!unanswered).then_some(wait))
    }
}

impl Asked {
    /// Looks for an answer; the candidate when none came for long enough. Any error ends the attempt:
    /// the time without the HSM does not count as time to answer.
    ///
    /// # Errors
    /// [`Halt::Served`] when somebody answered, or asks as well; [`Halt::GoneOn`] when the HSM holds keys
    /// that only a newer copy can know.
    pub async fn look(&self, ports: &Ports) -> Result<Option<Candidate>, BatchError> {
        let Self {
            candidate,
            token,
            since,
        } = self;
        let deployment = candidate.deployment;
        let asked = ports.hsm.claim(deployment, ClaimKind::Wanted).await?;
        if asked.is_empty() || asked.iter().any(|other| other != token) {
            return Err(Halt::Served.into());
        }
        let waited = ports.clock.since_boot().saturating_sub(*since);
        if candidate.wait.is_some_and(|wait| waited < wait) {
            return Ok(None);
        }
        let keys = ports.hsm.keys(deployment).await?;
        match unknown_buckets(ports, &keys).await? {
            0 => Ok(Some(Candidate {
                token: Some(token.clone()),
                ..candidate.clone()
            })),
            buckets => {
                let asked = ports.hsm.remove_claim(deployment, ClaimKind::Wanted);
                asked.await?;
                Err(Halt::GoneOn(buckets).into())
            }
        }
    }
}

/// Takes the claim whoever has it, on purpose.
///
/// # Errors
/// Those of the ports; it can be done again.
pub(crate) async fn seize(ports: &Ports, deployment: DeploymentId) -> Result<(), BatchError> {
    put(ports, deployment, State::Taken, Before::Whosever).await
}

/// Nobody else serves any more, and nothing that another process may still do can harm.
///
/// # Errors
/// As [`Candidate::take`].
pub async fn confirm(ports: &Ports, deployment: DeploymentId) -> Result<(), BatchError> {
    put(ports, deployment, State::Held, Before::Ours).await?;
    let answered = ports.hsm.remove_claim(deployment, ClaimKind::Wanted);
    Ok(answered.await?)
}

/// Claims an HSM that has no claim yet, for a store that nobody serves.
///
/// # Errors
/// Those of the ports; it can be done again.
pub(crate) async fn first(ports: &Ports, deployment: DeploymentId) -> Result<(), BatchError> {
    put(ports, deployment, State::Free, Before::Ours).await
}

/// Gives the claim up when nobody is served any more: the next start need not ask. Copies from before
/// have fallen behind then.
///
/// # Errors
/// Those of the ports, [`Halt::ForeignClaim`]; the claim is held then.
pub async fn release(ports: &Ports, deployment: DeploymentId) -> Result<(), BatchError> {
    check_claim(ports, deployment).await?;
    put(ports, deployment, State::Free, Before::Ours).await
}

/// What is replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// A claim that the store is level with, or none that this release wrote.
    Ours,
    Whosever,
}

async fn put(
    ports: &Ports,
    deployment: DeploymentId,
    state: State,
    before: Before,
) -> Result<(), BatchError> {
    let store = &ports.store;
    let seat = seat_or_new(ports).await?;
    let texts = ports.hsm.claim(deployment, ClaimKind::Held).await?;
    let claims = texts.iter().filter_map(|text| text.parse::<Claim>().ok());
    let claims: Vec<Claim> = claims.collect();
    let foreign = claims.iter().find(|claim| !claim.is_of(&seat));
    if let Some(claim) = foreign.filter(|_| before == Before::Ours) {
        return Err(Halt::ForeignClaim {
            claimed: claim.to_string(),
            ours: ours(Some(&seat), store.place()),
        }
        .into());
    }
    // One that a start before was cut off with may be the one in the HSM.
    let level = claims.iter().all(|claim| claim.nonce == seat.nonce);
    let nonce = match seat.next {
        Some(next) if !level => next,
        _ => seat.nonce,
    };
    let next = draw(ports)?;
    let begun = Seat {
        nonce,
        next: Some(next),
        ..seat
    };
    store.set_seat(&begun).await?;
    let claim = Claim {
        store: seat.store,
        nonce: next,
        state,
        max_outage: ports.max_outage,
        place: store.place().clone(),
    };
    let text = claim.to_string();
    let set = ports.hsm.set_claim(deployment, ClaimKind::Held, &text);
    set.await?;
    let done = Seat {
        nonce: next,
        next: None,
        ..seat
    };
    store.set_seat(&done).await?;
    ports.claim.set(text);
    Ok(())
}

async fn seat_or_new(ports: &Ports) -> Result<Seat, BatchError> {
    if let Some(seat) = ports.store.seat().await? {
        return Ok(seat);
    }
    Ok(Seat {
        store: StoreId::from_bytes(*draw(ports)?.as_bytes()),
        nonce: draw(ports)?,
        next: None,
    })
}

fn draw(ports: &Ports) -> Result<ClaimNonce, BatchError> {
    let mut bytes = [0; 16];
    ports.entropy.fill(&mut bytes)?;
    Ok(ClaimNonce::from_bytes(bytes))
}
