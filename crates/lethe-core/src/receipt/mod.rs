//! Receipts: the signed statement that a shred or an expiry is complete. `docs/design.md#receipts`.
//!
//! There is one signature for a batch: over its facts and the root of a Merkle tree over its items.
//! Each receipt has the facts, one item, and the item's path. So it can be checked alone, and says
//! nothing about the others. It has no conversation id, only a commitment. The byte formats are in
//! `docs/FORMATS.md`.

mod batch;
mod commitment;
mod id;
mod item;
mod json;
mod merkle;
mod verify;

pub use batch::{Batch, BatchReceipts, Facts, Method, Receipt};
pub use commitment::{Commitment, Opening, ShreddedKey};
pub use id::{ErasureId, InvalidErasureId};
pub use item::{Accepted, Item};
pub use json::InvalidJson;
pub use verify::InvalidReceipt;
