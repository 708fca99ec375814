use std::time::Duration;

use serde::Deserialize;

/// `[approvals]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalsSection {
    /// Whether what destroys much waits for a second operator.
    pub required: bool,
    /// Whether raising a keyspace's smallest key version waits as well.
    pub minimum_version: bool,
    /// Conversations that may be shredded in the window without one.
    pub shreds: u32,
    /// A sliding window.
    #[serde(deserialize_with = "super::span::deserialize")]
    pub window: Duration,
    /// Approvals of one client that may wait at once, of 1,000 in all.
    pub per_client: u32,
    /// Until when the second word counts.
    #[serde(deserialize_with = "super::span::deserialize")]
    pub expire_after: Duration,
}

impl Default for ApprovalsSection {
    fn default() -> Self {
        Self {
            required: true,
            minimum_version: false,
            shreds: 10_000,
            window: Duration::from_secs(3_600),
            per_client: 500,
            expire_after: Duration::from_secs(86_400),
        }
    }
}

impl ApprovalsSection {
    pub(super) fn check(&self) -> Result<(), String> {
        if !(1..=1_000_000_000).contains(&self.shreds) {
            return Err("approvals.shreds must be 1 to 1000000000".into());
        }
        if !(1..=1_000).contains(&self.per_client) {
            return Err("approvals.per_client must be 1 to 1000".into());
        }
        let possible = Duration::from_secs(1)..=Duration::from_secs(366 * 86_400);
        for (option, span) in [("window", self.window), ("expire_after", self.expire_after)] {
            if !possible.contains(&span) {
                return Err(format!("approvals.{option} must be 1s to 366d"));
            }
        }
        Ok(())
    }
}
