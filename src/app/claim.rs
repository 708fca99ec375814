//! Takes the claim in the HSM: at once, or after nobody has answered a challenge.

use std::path::Path;
use std::time::Duration;

use lethe_core::batch::{BatchError, Ports};
use lethe_core::claim::{Candidate, Claim, StoreKind, StoreLocation, examine};
use lethe_core::ports::DeploymentStore;

/// From one look for an answer to the next.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Takes the claim for a service that starts. Returns whether no other process can be serving: false
/// after a challenge that nobody has answered.
///
/// # Errors
/// [`BatchError`]; nothing was destroyed.
pub(super) async fn take(ports: &Ports) -> Result<bool, BatchError> {
    // What is read must be the newest, and nobody else may be about to change it.
    ports.store.confirm_alone().await?;
    let candidate = examine(ports, earlier(ports.store.as_ref()).as_deref()).await?;
    let is_alone = candidate.wait().is_none();
    let candidate = match candidate.wait() {
        None => candidate,
        Some(wait) => unanswered(ports, candidate, wait).await?,
    };
    if let Some(wait) = candidate.take(ports).await? {
        tracing::warn!(
            seconds = wait.as_secs(),
            "another process answered while the claim was taken: waiting until its lease has ended"
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
        "the claim was not given up, and this host cannot see the process that holds it: waiting for its answer"
    );
    let challenge = candidate.challenge(ports).await?;
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        if let Some(candidate) = challenge.poll(ports).await? {
            tracing::warn!("nobody answered: taking the claim over");
            return Ok(candidate);
        }
    }
}

/// The claim that earlier releases wrote for a store at this location. Without a machine id they wrote the
/// host's name, which does not identify a host: such a claim needs `lethe takeover` once.
pub(super) fn earlier(store: &dyn DeploymentStore) -> Option<String> {
    let location = store.location();
    if location.kind != StoreKind::Sqlite {
        return None;
    }
    let text = std::fs::read_to_string("/etc/machine-id").ok()?;
    let machine = text.trim();
    let is_id = machine.len() == 32 && machine.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| format!("sqlite:{machine}:{}", location.path))
}

/// The path of the database file in a claim, if the claim was taken under this kernel.
pub(super) fn visible_path<'c>(claim: &'c Claim, here: &StoreLocation) -> Option<&'c Path> {
    let there = &claim.location;
    let is_visible = there.boot.is_some() && there.boot == here.boot;
    (is_visible && there.kind == StoreKind::Sqlite).then(|| Path::new(&there.path))
}
