//! What only the leader does. One task, the keeper, owns the deployment's state and changes it, batch by batch.

mod batches;
mod clock;
mod commands;
mod handle;
mod handles;
mod hsm_move;
pub mod hsm_moves;
mod keeper;
mod keyspaces;
mod make_buckets;
mod reaper;
mod rotation;
#[cfg(test)]
mod tests;
mod tick;

pub use handle::{ClockConfirmed, KeeperError, KeeperHandle, PutOutcome, Settings};
pub use handles::Handles;
pub use keeper::{Keeper, KeeperLimits};
