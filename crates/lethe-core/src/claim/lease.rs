use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::batch::{BatchError, Ports, check_ours};
use crate::identity::DeploymentId;
use crate::ports::ClaimKind;

/// Between the begins of two looks.
pub const LOOK: Duration = Duration::from_secs(5);
/// Keys are served so long after a look began.
const LASTS: u64 = 15_000;

/// Until when keys are served, by the time since boot: who was stopped for longer, or whose looks hang,
/// may have been taken for dead.
#[derive(Debug, Default)]
pub struct Lease {
    until: AtomicU64,
}

impl Lease {
    /// Whether keys are served now.
    #[must_use]
    pub fn holds(&self, since_boot: Duration) -> bool {
        millis(since_boot) < self.until.load(Ordering::Acquire)
    }

    /// A look that began then has come to its end.
    pub fn renew(&self, begun: Duration) {
        let until = millis(begun).saturating_add(LASTS);
        self.until.fetch_max(until, Ordering::AcqRel);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whether claim and root are ours; and whoever asks whether somebody serves hears that we do.
///
/// # Errors
/// A [`crate::batch::Halt`] when they are not; else those of the ports.
pub async fn look(ports: &Ports, deployment: DeploymentId) -> Result<(), BatchError> {
    // In this order: whoever takes the claim looks for an answer afterwards.
    let asked = ports.hsm.claim(deployment, ClaimKind::Wanted).await?;
    if !asked.is_empty() {
        let answered = ports.hsm.remove_claim(deployment, ClaimKind::Wanted);
        answered.await?;
    }
    check_ours(ports, deployment).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_runs_from_the_begin_of_the_newest_look() {
        let (lease, second) = (Lease::default(), Duration::from_secs);
        assert!(!lease.holds(second(0)));
        lease.renew(second(100));
        lease.renew(second(95));
        assert!(lease.holds(second(114)));
        assert!(!lease.holds(second(115)));
    }
}
