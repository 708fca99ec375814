//! How a start takes the claim: it compares store and HSM, challenges the holder where it cannot know
//! that the holder is dead, and takes the claim.

use std::time::Duration;

use super::{Claim, State, StoreLocation};
use crate::batch::{BatchError, Halt, Ports, check_claim};
use crate::identity::{ClaimNonce, DeploymentId, StoreId};
use crate::ports::{ClaimKind, Seat};
use crate::takeover::unknown_buckets;

/// How long to wait for an answer to a challenge: longer than any lease that began before the challenge.
pub const ANSWER_WAIT: Duration = Duration::from_secs(18);

/// A store that may take the claim, as [`examine`] found it.
#[derive(Debug, Clone)]
pub struct Candidate {
    deployment: DeploymentId,
    /// How long to wait for an answer to a challenge; none when nobody can be serving.
    wait: Option<Duration>,
    /// The challenge that nobody has answered.
    token: Option<String>,
}

/// A challenge in the HSM that waits for an answer.
#[derive(Debug)]
pub struct Challenge {
    candidate: Candidate,
    token: String,
    /// When it was put into the HSM, since boot.
    since: Duration,
}

/// Compares store and HSM; changes nothing. `earlier` is the claim that earlier releases wrote for a
/// store at this location.
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
    let here = ports.store.location();
    let claims: Vec<_> = texts.iter().map(|text| (text, text.parse().ok())).collect();
    let foreign = |text: &String| Halt::ForeignClaim {
        claimed: text.clone(),
        ours: ours(seat.as_ref(), here),
    };
    let at_this_path = |(text, claim): &&(&String, Option<Claim>)| match claim {
        Some(claim) => claim.location.is_same_place(here),
        None => seat.is_none() && Some(text.as_str()) == earlier,
    };
    if let Some((text, _)) = claims.iter().find(|claim| !at_this_path(claim)) {
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
            State::Held => claim.location.is_same_file(here),
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

/// How errors name this store: it may have no claim.
fn ours(seat: Option<&Seat>, here: &StoreLocation) -> String {
    let kind = here.kind.name();
    match seat {
        Some(seat) => format!("{kind}:{}:{}:{}", seat.store, seat.nonce, here.path),
        None => format!("{kind}:{}", here.path),
    }
}

/// A holder that stops serving when the HSM is away has stopped by then.
fn longest_wait(claim: &Claim) -> Duration {
    ANSWER_WAIT.saturating_add(claim.max_outage.unwrap_or_default())
}

impl Candidate {
    /// The deployment of the store.
    #[must_use]
    pub const fn deployment(&self) -> DeploymentId {
        self.deployment
    }

    /// How long to wait for an answer to a challenge; none when nobody can be serving another copy.
    #[must_use]
    pub const fn wait(&self) -> Option<Duration> {
        self.wait
    }

    /// Puts a challenge into the HSM: a process that serves another copy answers it.
    ///
    /// # Errors
    /// Those of the ports.
    pub async fn challenge(self, ports: &Ports) -> Result<Challenge, BatchError> {
        let token = draw(ports)?.to_string();
        let asked = ports
            .hsm
            .set_claim(self.deployment, ClaimKind::Wanted, &token);
        asked.await?;
        Ok(Challenge {
            candidate: self,
            token,
            since: ports.clock.since_boot(),
        })
    }

    /// Takes the claim with a new nonce. The store keeps the nonce as the next one, then the HSM gets the
    /// claim, then the store keeps the nonce as the present one. So a store that was cut off in between
    /// still holds the nonce of the claim. Returns how long to wait before serving: the holder may have
    /// answered just before the claim was taken.
    ///
    /// # Errors
    /// Those of the ports; [`Halt::ForeignClaim`] when another store has taken the claim meanwhile. It
    /// can be called again.
    pub async fn take(&self, ports: &Ports) -> Result<Option<Duration>, BatchError> {
        let Some(wait) = self.wait else {
            put(ports, self.deployment, State::Held, Replace::Own).await?;
            let answered = ports.hsm.remove_claim(self.deployment, ClaimKind::Wanted);
            answered.await?;
            return Ok(None);
        };
        put(ports, self.deployment, State::Taken, Replace::Own).await?;
        let asked = ports.hsm.claim(self.deployment, ClaimKind::Wanted).await?;
        let unanswered =
            !asked.is_empty() && asked.iter().all(|it| Some(it) == self.token.as_ref());
        Ok((!unanswered).then_some(wait))
    }
}

impl Challenge {
    /// Looks for an answer. Returns the candidate when the time for an answer is over. After an error
    /// the start has failed: a time in which the HSM is away is no time to answer.
    ///
    /// # Errors
    /// [`Halt::Served`] when a process answered, or has put a challenge of its own; [`Halt::GoneOn`] when
    /// the HSM holds keys that only a newer copy of the store knows.
    pub async fn poll(&self, ports: &Ports) -> Result<Option<Candidate>, BatchError> {
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

/// Takes the claim whoever has it: `lethe takeover`.
///
/// # Errors
/// Those of the ports; it can be called again.
pub(crate) async fn seize(ports: &Ports, deployment: DeploymentId) -> Result<(), BatchError> {
    put(ports, deployment, State::Taken, Replace::Any).await
}

/// Marks the claim as held: the time in which another process may have served is over.
///
/// # Errors
/// As [`Candidate::take`].
pub async fn confirm(ports: &Ports, deployment: DeploymentId) -> Result<(), BatchError> {
    put(ports, deployment, State::Held, Replace::Own).await?;
    let answered = ports.hsm.remove_claim(deployment, ClaimKind::Wanted);
    Ok(answered.await?)
}

/// Claims an HSM that has no claim yet, for a store that nobody serves.
///
/// # Errors
/// Those of the ports; it can be called again.
pub(crate) async fn first(ports: &Ports, deployment: DeploymentId) -> Result<(), BatchError> {
    put(ports, deployment, State::Free, Replace::Own).await
}

/// Gives the claim up at the end of a service: the next start needs no challenge. A claim that was taken and
/// not confirmed stays so: the next start makes a new root. Older copies of the
/// store have an old nonce from then on.
///
/// # Errors
/// Those of the ports, [`Halt::ForeignClaim`]; then the claim is still held.
pub async fn release(ports: &Ports, deployment: DeploymentId) -> Result<(), BatchError> {
    check_claim(ports, deployment).await?;
    let claim = ports.claim.text()?.parse::<Claim>();
    if claim.is_ok_and(|claim| claim.state == State::Taken) {
        return Ok(());
    }
    put(ports, deployment, State::Free, Replace::Own).await
}

/// Which claims may be replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Replace {
    /// Only the claim of this store, one of an earlier release, or none.
    Own,
    /// The claim of any store.
    Any,
}

async fn put(
    ports: &Ports,
    deployment: DeploymentId,
    state: State,
    replace: Replace,
) -> Result<(), BatchError> {
    let store = &ports.store;
    let seat = seat_or_new(ports).await?;
    let texts = ports.hsm.claim(deployment, ClaimKind::Held).await?;
    let claims = texts.iter().filter_map(|text| text.parse::<Claim>().ok());
    let claims: Vec<Claim> = claims.collect();
    let foreign = claims.iter().find(|claim| !claim.is_of(&seat));
    if let Some(claim) = foreign.filter(|_| replace == Replace::Own) {
        return Err(Halt::ForeignClaim {
            claimed: claim.to_string(),
            ours: ours(Some(&seat), store.location()),
        }
        .into());
    }
    // A start that was cut off may have put its next nonce into the HSM.
    let is_current = claims.iter().all(|claim| claim.nonce == seat.nonce);
    let nonce = match seat.next {
        Some(next) if !is_current => next,
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
        location: store.location().clone(),
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
