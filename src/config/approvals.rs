use std::time::Duration;

use serde::Deserialize;

/// `[approvals]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalsSection {
    /// Whether actions that destroy much wait for a second operator.
    pub required: bool,
    /// Whether a higher `minimum_version` of a keyspace waits too.
    pub minimum_version: bool,
    /// Conversations that all message servers together, and all operators together, may shred in the
    /// window without one.
    pub shreds: u32,
    /// Conversations that one client may shred in the window without an approval; `shreds` if it is not
    /// given.
    shreds_per_client: Option<u32>,
    /// Conversations of one keyspace that may be shredded in the window without one; `shreds` if it is
    /// not given.
    shreds_per_keyspace: Option<u32>,
    /// Conversations that a client may shred in the window even when others have used up `shreds`; a
    /// tenth of it if it is not given.
    shreds_at_least: Option<u32>,
    /// Length of the sliding window in which shreds are counted.
    #[serde(deserialize_with = "super::span::deserialize")]
    pub window: Duration,
    /// Approvals of one client that may wait at once, of 1,000 in all.
    pub per_client: u32,
    /// How long an approval waits before it expires.
    #[serde(deserialize_with = "super::span::deserialize")]
    pub expire_after: Duration,
}

impl Default for ApprovalsSection {
    fn default() -> Self {
        Self {
            required: true,
            minimum_version: true,
            shreds: 10_000,
            shreds_per_client: None,
            shreds_per_keyspace: None,
            shreds_at_least: None,
            window: Duration::from_secs(3_600),
            per_client: 500,
            expire_after: Duration::from_secs(86_400),
        }
    }
}

impl ApprovalsSection {
    /// Conversations that one client may shred in the window without an approval.
    #[must_use]
    pub fn shreds_per_client(&self) -> u32 {
        self.shreds_per_client.unwrap_or(self.shreds)
    }

    /// Conversations of one keyspace that may be shredded in the window without an approval.
    #[must_use]
    pub fn shreds_per_keyspace(&self) -> u32 {
        self.shreds_per_keyspace.unwrap_or(self.shreds)
    }

    /// Conversations that a client may shred in the window even when others have used up `shreds`.
    #[must_use]
    pub fn shreds_at_least(&self) -> u32 {
        self.shreds_at_least.unwrap_or((self.shreds / 10).max(1))
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let least = self.shreds_at_least.map(|least| least.max(1));
        for (option, number) in [
            ("shreds", Some(self.shreds)),
            ("shreds_per_client", self.shreds_per_client),
            ("shreds_per_keyspace", self.shreds_per_keyspace),
            ("shreds_at_least", least),
        ] {
            if !number.is_none_or(|it| (1..=1_000_000_000).contains(&it)) {
                return Err(format!("approvals.{option} must be 1 to 1000000000"));
            }
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
