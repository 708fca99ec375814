//! The forgetting tree: a puncturable PRF after Goldreich, Goldwasser and Micali. A binary tree of
//! seeds over 64-bit leaf addresses; a conversation key is a leaf.
//! `docs/design.md#forgetting-tree`.
//!
//! What is kept is a *cover*: seeds whose subtrees hold every leaf that still exists. Nothing
//! forgotten means one seed, the tree's own. Else the cover is cut into pages, each sealed once
//! under a single-use key that stands in its parent; the top one's stands in the directory.
//! [`Tree::lookup`] reads, [`Tree::puncture`] forgets; both are pure and say which pages they miss.

mod address;
mod buffer;
#[cfg(test)]
mod format_tests;
mod generation;
mod grow;
mod kept;
mod keys;
mod lookup;
mod name;
mod page;
mod puncture;
mod rebuild;
mod root;
mod sealed;
mod seed;
mod shape;
mod tail;
mod tail_ids;

pub use address::{Address, AddressKey, Pseudonym};
pub use generation::{CurrentGeneration, GENERATIONS};
pub use kept::KeptPages;
pub use lookup::{LoadedPages, Lookup};
pub use name::{LeafId, PageVersion, Prefix, TailId, TreeId};
pub use page::Page;
pub use puncture::{Puncture, PunctureError, Punctured, SealedPage, SealedTail};
pub use root::{CoverRoot, TopPage, Tree};
pub use sealed::{Loaded, PageError, PageReference, Row, page_version};
pub use tail::Tail;

/// Levels below the tree's own seed.
pub const DEPTH: u8 = 64;
