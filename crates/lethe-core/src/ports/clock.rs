use std::time::Duration;

use crate::clock::{BootPoint, Mark};
use crate::time::Timestamp;

/// Names one boot of a machine, by 16 random bytes.
pub type BootId = [u8; 16];

/// The time of day and the time since boot.
pub trait Clock: Send + Sync {
    /// Wall clock.
    fn now(&self) -> Timestamp;

    /// Time since boot, suspended time included; never steps.
    fn since_boot(&self) -> Duration;

    /// The boot that [`Self::since_boot`] counts from; none where nobody can tell.
    fn boot_id(&self) -> Option<BootId> {
        None
    }

    /// Where it stands, to be written down.
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
