//! Receipts: the signed statement that a shred or an expiry is complete. `docs/design.md#receipts`.
//!
//! One signature speaks for a batch: over its facts and the root of a Merkle tree over what it
//! forgot. Each receipt bears the facts, one item, and the item's path; so it is checked alone, and
//! tells nothing of the others. No conversation id stands in it, only a commitment. Byte formats
//! in `docs/FORMATS.md`.

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
