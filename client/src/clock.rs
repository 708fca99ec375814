//! Where the time comes from.

use jiff::Timestamp;

/// The time of day. Leases end by it, so a client's clock should agree with the service's; when
/// it does not, the service still refuses what has expired.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
