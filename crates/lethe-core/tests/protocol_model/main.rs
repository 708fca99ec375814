//! The shred protocol of `docs/design.md#batch` as an explicit-state model: every interleaving of two
//! leaders, a reader, the HSM, the copies of the database and their operators, within a [`scope`].
//!
//! | step | where |
//! |---|---|
//! | 1 root, 2 fence, 3 pages and commit | `batch` |
//! | 4 barrier, 5 read-back, 6 acknowledgements, 8 receipt | `finish` |
//! | 7 list, destroy, look again | `sweep` |
//! | recovery, epochs | `recovery` |
//! | reads | `reader` |
//!
//! `advance` has their order, `properties` the promises, `archive` and `hsm` what a thief gets (W
//! and S). Left out: the claim, acceptance, expiry, and what a page or a signature is made of.

mod acceptance;
mod action;
mod advance;
mod amendments;
mod archive;
mod batch;
mod cluster;
mod copies;
mod failure;
mod finish;
mod hsm;
mod mistakes;
mod model;
mod more_mistakes;
mod mutation;
mod names;
mod node;
mod nodes;
mod operator;
mod properties;
mod reader;
mod recovery;
mod right_order;
mod scope;
mod search;
mod set;
mod state;
mod store;
mod sweep;
