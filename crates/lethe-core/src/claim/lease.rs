use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::batch::{BatchError, Ports, check_ours};
use crate::identity::DeploymentId;
use crate::ports::ClaimKind;

/// From the start of one check of the claim to the start of the next.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// The lease ends so many milliseconds after the start of a check that succeeded.
const DURATION: u64 = 15_000;

/// Until when this process serves keys, measured by the time since boot. A process that was suspended
/// longer than its lease, or whose checks hang, serves no keys: another process may have taken the claim.
#[derive(Debug, Default)]
pub struct Lease {
    until: AtomicU64,
}

impl Lease {
    /// Whether this process may serve keys now.
    #[must_use]
    pub fn holds(&self, since_boot: Duration) -> bool {
        millis(since_boot) < self.until.load(Ordering::Acquire)
    }

    /// Extends the lease: a check that started at `begun` has succeeded.
    pub fn renew(&self, begun: Duration) {
        let until = millis(begun).saturating_add(DURATION);
        self.until.fetch_max(until, Ordering::AcqRel);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Checks that the claim and the root in the HSM are ours. If another process asks whether this
/// deployment is served, this answers that it is.
///
/// # Errors
/// A [`crate::batch::Halt`] when they are not; else those of the ports.
pub async fn check(ports: &Ports, deployment: DeploymentId) -> Result<(), BatchError> {
    // In this order: a process that takes the claim looks for an answer afterwards.
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
    fn a_lease_runs_from_the_start_of_the_newest_check() {
        let (lease, second) = (Lease::default(), Duration::from_secs);
        assert!(!lease.holds(second(0)));
        lease.renew(second(100));
        lease.renew(second(95));
        assert!(lease.holds(second(114)));
        assert!(!lease.holds(second(115)));
    }
}
