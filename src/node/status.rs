//! The condition of a node, and of the HSM and the store that it works with.

use lethe_core::clock::Doubt;
use lethe_core::ports::HsmStatus;
use lethe_core::time::{Expiry, Timestamp};

/// What works and what does not, as the background work last saw it.
#[derive(Debug, Clone, Default)]
pub struct Condition {
    /// Why the last check of the HSM failed; none after a check that succeeded.
    pub hsm_check: Option<String>,
    /// Why the leader's work failed in the HSM, until the HSM was checked again and the work has succeeded.
    pub hsm_work: Option<String>,
    /// Why the leader's work failed in the store, until it has succeeded.
    pub store: Option<String>,
    /// The last status of the HSM.
    pub seen: Option<Seen>,
    /// The expiries of buckets that have expired and are not destroyed yet.
    pub overdue: Vec<Expiry>,
    /// Why the present configuration files are not in force; none if they are.
    pub configuration: Option<String>,
    /// The doubt about the clock that was logged last.
    pub doubt: Option<Doubt>,
}

impl Condition {
    /// Why the HSM failed last, until it works again.
    #[must_use]
    pub fn hsm(&self) -> Option<&str> {
        self.hsm_work.as_deref().or(self.hsm_check.as_deref())
    }
}

/// The last status of the HSM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// When the HSM answered.
    pub at: Timestamp,
    /// Its answer.
    pub status: HsmStatus,
}

/// The names by which operators tell this node from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThisNode {
    /// The name of its host.
    pub name: String,
    /// When it began to serve.
    pub started_at: Timestamp,
}
