//! What a node says of itself, and of the HSM and the store that it works with.

use lethe_core::clock::Doubt;
use lethe_core::ports::HsmStatus;
use lethe_core::time::{Expiry, Timestamp};

/// What works and what does not, as the background work last saw it.
#[derive(Debug, Clone, Default)]
pub struct Condition {
    /// Why the last look at the HSM failed, until one succeeds.
    pub hsm_look: Option<String>,
    /// Why the leader's work failed in the HSM, until the HSM was looked at again and the work goes on.
    pub hsm_work: Option<String>,
    /// Why the leader's work failed in the store, until it goes on.
    pub store: Option<String>,
    /// What the HSM said of itself when it last answered.
    pub seen: Option<Seen>,
    /// Buckets that should be gone and are not, by expiry.
    pub overdue: Vec<Expiry>,
    /// Why what the configuration now says is not in force.
    pub configuration: Option<String>,
    /// The doubt of the clock that the log has.
    pub doubt: Option<Doubt>,
}

impl Condition {
    /// Why the HSM failed last, until it works again.
    #[must_use]
    pub fn hsm(&self) -> Option<&str> {
        self.hsm_work.as_deref().or(self.hsm_look.as_deref())
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

/// The process that serves, as operators tell it from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThisNode {
    /// Its host.
    pub name: String,
    /// Since when it serves.
    pub started_at: Timestamp,
}
