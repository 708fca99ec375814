use std::time::Duration;

use crate::time::Timestamp;

/// The time of day and the time since boot.
pub trait Clock: Send + Sync {
    /// Wall clock.
    fn now(&self) -> Timestamp;

    /// Time since boot, suspended time included; never steps.
    fn since_boot(&self) -> Duration;
}
