use std::time::Duration;

use crate::clock::{BootPoint, Mark};
use crate::time::Timestamp;

/// The id of one boot of a machine: 16 random bytes.
pub type BootId = [u8; 16];

/// The time of day and the time since boot.
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn now(&self) -> Timestamp;

    /// The time since boot, with suspended time. It never jumps.
    fn since_boot(&self) -> Duration;

    /// The boot that [`Self::since_boot`] counts from; none if it is not known.
    fn boot_id(&self) -> Option<BootId> {
        None
    }

    /// The point of the present boot, to be written down.
    fn mark(&self) -> Mark {
        let since_boot = self.since_boot();
        let boot = self.boot_id().map(|id| BootPoint { id, since_boot });
        Mark {
            high_water: Some(self.now()),
            boot,
            ..Mark::default()
        }
    }
}
