use std::time::Duration;

use serde::Deserialize;

/// `[receipts]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReceiptsSection {
    /// How long receipts are kept after the destruction.
    #[serde(deserialize_with = "super::span::deserialize")]
    pub keep: Duration,
}

impl Default for ReceiptsSection {
    fn default() -> Self {
        Self {
            keep: Duration::from_secs(400 * 86_400),
        }
    }
}

impl ReceiptsSection {
    pub(super) fn check(&self) -> Result<(), String> {
        let possible = Duration::from_secs(3_600)..=Duration::from_secs(36_600 * 86_400);
        if possible.contains(&self.keep) {
            Ok(())
        } else {
            Err("receipts.keep must be 1h to 36600d".into())
        }
    }
}
