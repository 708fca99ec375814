use std::time::Duration;

use serde::Deserialize;

/// `[clock]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClockSection {
    /// A wall clock that jumps further is not believed until an operator confirms it.
    #[serde(deserialize_with = "super::span::deserialize")]
    pub max_gap: Duration,
}

impl Default for ClockSection {
    fn default() -> Self {
        Self {
            max_gap: Duration::from_secs(6 * 3_600),
        }
    }
}

impl ClockSection {
    pub(super) fn check(&self) -> Result<(), String> {
        let possible = Duration::from_secs(1)..=Duration::from_secs(36_600 * 86_400);
        if possible.contains(&self.max_gap) {
            Ok(())
        } else {
            Err("clock.max_gap must be 1s to 36600d".into())
        }
    }
}
