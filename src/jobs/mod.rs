//! Background work: one task owns the deployment's state and changes it, batch by batch.

mod handle;
mod keeper;
mod keyspaces;
mod reaper;

pub use handle::{KeeperError, KeeperHandle, Put};
pub use keeper::{Keeper, KeeperLimits};
