//! The one place that reads clocks: a benchmark measures real time.
#![allow(clippy::disallowed_methods)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic, for intervals.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Since the Unix epoch, to meet the instants that the service names.
pub(crate) fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
