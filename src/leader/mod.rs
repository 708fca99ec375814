//! What one node does alone: one task owns the deployment's state and changes it, batch by batch.

mod clock;
mod commands;
mod forget;
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

pub use handle::{ClockConfirmed, KeeperError, KeeperHandle, Put, Settings};
pub use handles::Handles;
pub use keeper::{Keeper, KeeperLimits};
