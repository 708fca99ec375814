//! The domain of Lethe: what a data key is, which keys open it, when it stops opening.
//!
//! Pure: no I/O, no clock, no randomness of its own; those come in through [`ports`]. Knows no
//! other crate of the workspace, and neither HTTP, SQL, an async runtime nor PKCS#11. Start with
//! [`grid`] (`docs/design.md#grid`) and [`tree`] (`docs/design.md#forgetting-tree`).

pub mod approval;
pub mod audit;
pub mod batch;
pub mod buckets;
pub mod claim;
pub mod clock;
pub mod conversation;
pub mod deployment_key;
pub mod directory;
pub mod duration;
pub mod erasure;
pub mod grid;
pub mod hsm_move;
pub mod identity;
pub mod initialise;
pub mod keyring;
pub mod keyspace;
pub mod page_cache;
pub mod ports;
pub mod receipt;
pub mod refusals;
pub mod secret;
mod single_use;
pub mod succession;
pub mod takeover;
pub mod time;
pub mod tree;
pub mod wrapped_key;
