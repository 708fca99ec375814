//! The running service as requests see it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use lethe_core::clock::SteadyClock;
use lethe_core::keyring::Keyring;
use lethe_core::ports::AuditSink;
use lethe_core::time::Timestamp;
use parking_lot::Mutex;

use crate::access::Access;
use crate::clock::SystemClock;
use crate::entropy::SystemEntropy;
use crate::jobs::KeeperHandle;
use crate::metrics::Metrics;

/// What every request may use. The hot path takes no lock here and never waits for store or HSM.
pub struct Service {
    /// All that opens now; replaced whole.
    pub keyring: ArcSwap<Keyring>,
    /// Steady time.
    pub clock: Arc<SteadyClock<SystemClock>>,
    /// Randomness.
    pub entropy: SystemEntropy,
    /// Where records go before a key leaves.
    pub audit: Arc<dyn AuditSink>,
    /// Who may do what.
    pub access: Access,
    /// What Prometheus reads.
    pub metrics: Metrics,
    /// Where changes are asked for.
    pub keeper: KeeperHandle,
    /// What the background work says of itself.
    pub condition: Mutex<Condition>,
    /// For a whole request.
    pub request_timeout: Duration,
}

/// What works and what does not, as the background work last saw it.
#[derive(Debug, Clone, Default)]
pub struct Condition {
    /// Why the HSM failed last, until it works again.
    pub hsm: Option<String>,
    /// Why the store failed last, until it works again.
    pub store: Option<String>,
    /// Buckets that should be gone.
    pub overdue: usize,
}

impl Service {
    /// Steady time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
