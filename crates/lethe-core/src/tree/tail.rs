//! A tail: a subtree in which one leaf is forgotten, as the co-path of that leaf.
//!
//! `address (8) || seeds (32 each)`: the sibling at each level, from the one below the tail's
//! prefix down to the leaf's own sibling.

use super::buffer::SecretBytes;
use super::name::Prefix;
use super::sealed::KeyMark;
use super::seed::Seed;
use super::{Address, DEPTH};

pub(super) const ADDRESS: usize = 8;

/// A tail in the clear.
pub struct Tail {
    opened_by: KeyMark,
    leaf: Address,
    bytes: SecretBytes,
}

/// The co-path of a forgotten leaf, from any level on.
#[derive(Clone, Copy)]
pub(super) struct CoPath<'a> {
    pub(super) leaf: Address,
    seeds: &'a [Seed],
}

impl Tail {
    /// Checks everything that can be checked without the tree.
    pub(super) fn parse(prefix: Prefix, opened_by: KeyMark, bytes: SecretBytes) -> Option<Self> {
        let (address, seeds) = bytes.as_slice().split_first_chunk()?;
        let leaf = Address::from_bits(u64::from_be_bytes(*address));
        let whole = seeds.len() == 32 * usize::from(DEPTH - prefix.depth());
        let valid = whole && prefix != Prefix::TOP && prefix.covers(leaf);
        valid.then_some(Self {
            opened_by,
            leaf,
            bytes,
        })
    }

    /// Bytes in memory.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.bytes.as_slice().len()
    }

    /// Whether it is of this prefix: a page that names one tail twice must not get it twice.
    pub(super) fn fits(&self, prefix: Prefix) -> bool {
        let levels = usize::from(DEPTH - prefix.depth());
        prefix.covers(self.leaf) && self.bytes.as_slice().len() == ADDRESS + 32 * levels
    }

    pub(super) const fn opened_by(&self) -> KeyMark {
        self.opened_by
    }

    pub(super) fn co_path(&self) -> CoPath<'_> {
        CoPath {
            leaf: self.leaf,
            seeds: self.bytes.as_slice()[ADDRESS..].as_chunks().0,
        }
    }
}

impl<'a> CoPath<'a> {
    /// The seed that covers `address`, and its level; none for the forgotten leaf.
    ///
    /// `address` and the leaf agree down to the tail's prefix.
    pub(super) fn seed(&self, address: Address) -> Option<(&'a Seed, u8)> {
        let common = (self.leaf.bits() ^ address.bits()).leading_zeros();
        let depth = u8::try_from(common + 1)
            .ok()
            .filter(|depth| *depth <= DEPTH)?;
        Some((self.sibling(depth), depth))
    }

    /// The sibling at level `depth`, which lies below this co-path's beginning.
    pub(super) fn sibling(&self, depth: u8) -> &'a Seed {
        &self.seeds[self.seeds.len() - 1 - usize::from(DEPTH - depth)]
    }

    /// The siblings below level `depth`.
    pub(super) fn below(&self, depth: u8) -> Self {
        Self {
            leaf: self.leaf,
            seeds: &self.seeds[self.seeds.len() - usize::from(DEPTH - depth)..],
        }
    }

    pub(super) const fn seeds(&self) -> &'a [Seed] {
        self.seeds
    }
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tail(..)")
    }
}
