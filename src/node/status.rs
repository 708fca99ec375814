//! What a node says of itself, and of the HSM and the store that it works with.

use lethe_core::ports::HsmStatus;
use lethe_core::time::{Expiry, Timestamp};

/// What works and what does not, as the background work last saw it.
#[derive(Debug, Clone, Default)]
pub struct Condition {
    /// Why the HSM failed last, until it works again.
    pub hsm: Option<String>,
    /// Why the store failed last, until it works again.
    pub store: Option<String>,
    /// What the HSM said of itself when it last answered.
    pub seen: Option<Seen>,
    /// Buckets that should be gone and are not, by expiry.
    pub overdue: Vec<Expiry>,
    /// Why what the configuration now says is not in force.
    pub configuration: Option<String>,
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
