//! From the store at hand to the claim in the HSM: at once, or after nobody has answered.

use std::path::Path;
use std::time::Duration;

use lethe_core::batch::{BatchError, Ports};
use lethe_core::claim::{Candidate, Claim, Place, examine};
use lethe_core::ports::Store;

/// Between two looks for an answer.
const LOOK: Duration = Duration::from_millis(250);

/// Takes the claim for a service that begins. False: somebody may serve another copy, and has not
/// answered.
///
/// # Errors
/// [`BatchError`]; nothing was destroyed.
pub(super) async fn take(ports: &Ports) -> Result<bool, BatchError> {
    let candidate = examine(ports, earlier(ports.store.as_ref()).as_deref()).await?;
    let is_alone = candidate.wait().is_none();
    let candidate = match candidate.wait() {
        None => candidate,
        Some(wait) => unanswered(ports, candidate, wait).await?,
    };
    if let Some(wait) = candidate.take(ports).await? {
        tracing::warn!(
            seconds = wait.as_secs(),
            "somebody answered while the claim was taken: waiting until he serves no more"
        );
        tokio::time::sleep(wait).await;
    }
    Ok(is_alone)
}

async fn unanswered(
    ports: &Ports,
    candidate: Candidate,
    wait: Duration,
) -> Result<Candidate, BatchError> {
    tracing::warn!(
        seconds = wait.as_secs(),
        "the claim was not given up, by a process that cannot be seen from here: waiting whether it answers"
    );
    let asked = candidate.ask(ports).await?;
    loop {
        tokio::time::sleep(LOOK).await;
        if let Some(candidate) = asked.look(ports).await? {
            tracing::warn!("nobody answered: taking the claim over");
            return Ok(candidate);
        }
    }
}

/// What releases before this form wrote as the claim of a store at this place. Without a machine id they
/// named the host, which names nothing: such a claim wants `lethe takeover` once.
pub(super) fn earlier(store: &dyn Store) -> Option<String> {
    let text = std::fs::read_to_string("/etc/machine-id").ok()?;
    let machine = text.trim();
    let is_id = machine.len() == 32 && machine.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| format!("sqlite:{machine}:{}", store.place().path))
}

/// The path in a claim of this kernel.
pub(super) fn in_sight<'c>(claim: &'c Claim, here: &Place) -> Option<&'c Path> {
    let there = &claim.place;
    (there.boot.is_some() && there.boot == here.boot).then(|| Path::new(&there.path))
}
