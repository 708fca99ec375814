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
    /// Conversations that all message servers together, and all operators together, may shred in the
    /// window without one.
    pub shreds: u32,
    /// By one client; as many by default.
    shreds_per_client: Option<u32>,
    /// In one keyspace; as many by default.
    shreds_per_keyspace: Option<u32>,
    /// By one client in any case; a tenth by default.
    shreds_at_least: Option<u32>,
    /// A sliding window.
    #[serde(deserialize_with = "super::span::deserialize")]
    pub window: Duration,
    /// Approvals of one client that may wait at once, of 1,000 in all.
    pub per_client: u32,
    /// Until when it can be approved.
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
    /// By one client.
    #[must_use]
    pub fn shreds_per_client(&self) -> u32 {
        self.shreds_per_client.unwrap_or(self.shreds)
    }

    /// In one keyspace.
    #[must_use]
    pub fn shreds_per_keyspace(&self) -> u32 {
        self.shreds_per_keyspace.unwrap_or(self.shreds)
    }

    /// By one client, whatever others did.
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
