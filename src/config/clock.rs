use std::time::Duration;

use lethe_core::clock::Trust;
use serde::Deserialize;

/// `[clock]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClockSection {
    /// A wall clock that jumps further is not believed until an operator confirms it.
    #[serde(deserialize_with = "super::span::deserialize")]
    pub max_gap: Duration,
    /// What the service does after a stop whose length it cannot know.
    pub after_reboot: AfterReboot,
}

/// `clock.after_reboot`: whether the wall clock is believed after another boot of the machine, or on
/// another machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AfterReboot {
    /// It believes the wall clock if the gap is at most `max_gap`.
    Trust,
    /// It waits until an operator has confirmed the wall clock.
    Confirm,
}

impl Default for ClockSection {
    fn default() -> Self {
        Self {
            max_gap: Duration::from_secs(6 * 3_600),
            after_reboot: AfterReboot::Trust,
        }
    }
}

impl ClockSection {
    /// The settings for the steady clock.
    #[must_use]
    pub fn trust(&self) -> Trust {
        Trust {
            max_gap: self.max_gap,
            confirm_after_reboot: self.after_reboot == AfterReboot::Confirm,
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let possible = Duration::from_secs(1)..=Duration::from_secs(36_600 * 86_400);
        if possible.contains(&self.max_gap) {
            Ok(())
        } else {
            Err("clock.max_gap must be 1s to 36600d".into())
        }
    }
}
