use std::sync::Arc;
use std::time::Duration;

use lethe_core::batch::{BatchError, Halt, Ports};
use lethe_core::claim::{CHECK_INTERVAL, Lease, check};
use lethe_core::identity::DeploymentId;

/// A look that takes longer counts as an HSM that does not answer.
const LONGEST: Duration = Duration::from_secs(5);

/// Looks every few seconds whether the HSM still belongs to this store, on a task of its own: neither
/// a long batch nor a slow device must make the lease lapse.
pub struct Watch {
    ports: Ports,
    deployment: DeploymentId,
    lease: Arc<Lease>,
    /// When a look succeeded last, by the time since boot.
    seen: Duration,
}

impl Watch {
    /// The first look.
    ///
    /// # Errors
    /// [`BatchError`] when it does not succeed.
    pub async fn begin(
        ports: Ports,
        deployment: DeploymentId,
        lease: Arc<Lease>,
    ) -> Result<Self, BatchError> {
        let seen = ports.clock.since_boot();
        check(&ports, deployment).await?;
        lease.renew(seen);
        Ok(Self {
            ports,
            deployment,
            lease,
            seen,
        })
    }

    /// Looks until it must halt.
    pub async fn run(mut self) -> Halt {
        loop {
            let begun = self.ports.clock.since_boot();
            match tokio::time::timeout(LONGEST, check(&self.ports, self.deployment)).await {
                Ok(Ok(())) => {
                    self.seen = begun;
                    self.lease.renew(begun);
                }
                Ok(Err(BatchError::Halt(halt))) => return halt,
                Ok(Err(_)) | Err(_) => self.without_hsm(begun),
            }
            let took = self.ports.clock.since_boot().saturating_sub(begun);
            tokio::time::sleep(CHECK_INTERVAL.saturating_sub(took)).await;
        }
    }

    /// Keys need no HSM: they are served on, for as long as the configuration allows.
    fn without_hsm(&self, begun: Duration) {
        let out = begun.saturating_sub(self.seen);
        if self.ports.max_outage.is_none_or(|most| out < most) {
            self.lease.renew(begun);
        } else if !self.lease.holds(begun) {
            tracing::warn!(
                seconds = out.as_secs(),
                "the HSM has been away for longer than hsm.max_outage: no key is served"
            );
        }
    }
}
