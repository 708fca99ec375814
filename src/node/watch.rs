use std::sync::Arc;
use std::time::Duration;

use lethe_core::batch::{BatchError, Halt, Ports, check_ours};
use lethe_core::claim::{CHECK_INTERVAL, Lease, check};
use lethe_core::identity::DeploymentId;

/// A check that takes longer counts as an HSM that does not answer.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// Checks every few seconds whether the claim in the HSM is still that of this store, and renews the lease. It
/// runs on a task of its own, so that a long batch does not let the lease end.
pub struct ClaimWatch {
    ports: Ports,
    deployment: DeploymentId,
    lease: Arc<Lease>,
    /// When a check last succeeded, by the time since boot.
    last_success: Duration,
}

impl ClaimWatch {
    /// Makes the first check.
    ///
    /// # Errors
    /// [`BatchError`] if it fails.
    pub async fn begin(
        ports: Ports,
        deployment: DeploymentId,
        lease: Arc<Lease>,
    ) -> Result<Self, BatchError> {
        let last_success = ports.clock.since_boot();
        check(&ports, deployment).await?;
        lease.renew(last_success);
        Ok(Self {
            ports,
            deployment,
            lease,
            last_success,
        })
    }

    /// Checks until the service must halt.
    pub async fn run(mut self) -> Halt {
        loop {
            let begun = self.ports.clock.since_boot();
            let alone = tokio::time::timeout(CHECK_TIMEOUT, self.ports.store.confirm_alone()).await;
            if !matches!(alone, Ok(Ok(()))) {
                if let Some(halt) = self.look_without_store().await {
                    return halt;
                }
                continue;
            }
            match tokio::time::timeout(CHECK_TIMEOUT, check(&self.ports, self.deployment)).await {
                Ok(Ok(())) => {
                    self.last_success = begun;
                    self.lease.renew(begun);
                }
                Ok(Err(BatchError::Halt(halt))) => return halt,
                Ok(Err(_)) | Err(_) => self.without_hsm(begun),
            }
            let took = self.ports.clock.since_boot().saturating_sub(begun);
            tokio::time::sleep(CHECK_INTERVAL.saturating_sub(took)).await;
        }
    }

    /// Another process may serve the store: the lease is not renewed, and a challenge not answered.
    async fn look_without_store(&self) -> Option<Halt> {
        let looked = check_ours(&self.ports, self.deployment);
        if let Ok(Err(BatchError::Halt(halt))) = tokio::time::timeout(CHECK_TIMEOUT, looked).await {
            return Some(halt);
        }
        // The store is asked again soon: the lease lasts for seconds alone.
        tokio::time::sleep(CHECK_INTERVAL / 5).await;
        None
    }

    /// Keys are served without the HSM for as long as `hsm.max_outage` allows.
    fn without_hsm(&self, begun: Duration) {
        let out = begun.saturating_sub(self.last_success);
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
