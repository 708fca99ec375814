//! The embedded store: one SQLite database, one process.
//!
//! WAL with `synchronous=FULL`, so a commit that has answered is on the disk, and `secure_delete`,
//! so that a deleted row leaves no bytes in free pages. One connection writes, a few read.

mod approvals;
mod authentic;
mod batch;
mod buckets;
mod checkpoint;
mod chunks;
mod clock;
mod deployment;
mod elsewhere;
mod erasures;
mod errors;
mod files;
mod hsm_moves;
mod key_uses;
mod keyspaces;
mod open;
mod receipts;
mod shred_window;
mod statements;
mod transaction;
mod trees;

#[cfg(test)]
mod full_disk_tests;

pub use elsewhere::{Elsewhere, elsewhere};
pub use open::SqliteStore;
