//! The names of trees, pages and tails, in the store and in associated data.

use super::{Address, DEPTH};
use crate::identity::KeyspaceId;
use crate::keyspace::KeyVersion;

/// Levels of the tree that one page spans: 64 ways.
pub(super) const SPAN: u8 = 6;

/// The tree of a key version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeId {
    /// The keyspace's id, which never changes.
    pub keyspace: KeyspaceId,
    /// The version.
    pub version: KeyVersion,
}

/// One leaf of one tree: a conversation's generation in a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafId {
    /// The tree.
    pub tree: TreeId,
    /// The leaf.
    pub address: Address,
}

/// The id of a tail's row. Rows are only appended, and each id is used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TailId(u64);

impl TailId {
    /// The largest id that a store can have: databases use signed numbers.
    pub const LAST: Self = Self(i64::MAX as u64);

    /// From its number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// When a page was sealed: the sequence of the shred batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageVersion(u64);

impl PageVersion {
    /// From the batch's sequence.
    #[must_use]
    pub const fn new(sequence: u64) -> Self {
        Self(sequence)
    }

    /// The batch's sequence.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// The first bits of every address below a page: 0, 6, 12, ... or 60 of them.
///
/// Stored as those bits, then a 1, then zeros, because there may be very many.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(u64);

impl Prefix {
    /// The prefix of the top page.
    pub const TOP: Self = Self(1 << 63);

    /// None when `depth` is none of a page's, or bits behind it are set.
    #[must_use]
    pub const fn new(bits: u64, depth: u8) -> Option<Self> {
        if depth >= DEPTH || !depth.is_multiple_of(SPAN) || bits & (u64::MAX >> depth) != 0 {
            return None;
        }
        Some(Self(bits | 1 << (63 - depth)))
    }

    /// From [`Self::row_key`]; none when it is of no page.
    #[must_use]
    pub const fn from_row_key(key: u64) -> Option<Self> {
        if key == 0 {
            return None;
        }
        Self::new(key & (key - 1), 63 - key.trailing_zeros() as u8)
    }

    /// One number for bits and depth, for the store: the bits, then a 1, then zeros.
    #[must_use]
    pub const fn row_key(self) -> u64 {
        self.0
    }

    /// The bits, first bit highest, zeros behind them.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0 & (self.0 - 1)
    }

    /// How many bits it has.
    #[must_use]
    pub const fn depth(self) -> u8 {
        63 - self.0.trailing_zeros() as u8
    }

    /// Whether the leaf is below.
    #[must_use]
    pub const fn covers(self, address: Address) -> bool {
        (self.bits() ^ address.bits()).leading_zeros() >= self.depth() as u32
    }

    /// Levels that the page of this prefix spans: 6, and 4 at the leaves.
    pub(super) const fn width(self) -> u8 {
        width(self.depth())
    }

    /// The prefix below a slot. Only where [`Self::has_children`].
    pub(super) const fn below(self, slot: Slot) -> Self {
        let depth = self.depth() + self.width();
        Self(self.bits() | (slot.0 as u64) << (DEPTH - depth) | 1 << (63 - depth))
    }

    /// False where the slots are the leaves themselves.
    pub(super) const fn has_children(self) -> bool {
        self.depth() + self.width() < DEPTH
    }

    /// The slot that holds a leaf below this prefix.
    pub(super) const fn slot(self, address: Address) -> Slot {
        let width = self.width();
        let shifted = address.bits() >> (DEPTH - self.depth() - width);
        Slot((shifted & ((1 << width) - 1)) as u8)
    }
}

/// See [`Prefix::width`].
pub(super) const fn width(depth: u8) -> u8 {
    if DEPTH - depth < SPAN {
        DEPTH - depth
    } else {
        SPAN
    }
}

impl std::fmt::Debug for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}/{}", self.bits(), self.depth())
    }
}

/// One of a page's 64 (at the leaves 16) ways, from the left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(pub(super) u8);

impl Slot {
    /// Its bit in a page's masks.
    pub(super) const fn mask(self) -> u64 {
        1 << self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_prefixes_of_pages_exist() {
        for (bits, depth) in [(0, 1), (0, 64), (0, 66), (1, 60), (1 << 57, 6)] {
            assert_eq!(Prefix::new(bits, depth), None, "{bits:x}/{depth}");
        }
        assert!(Prefix::new(1 << 58, 6).is_some());
        assert!(Prefix::new(16, 60).is_some());
    }

    #[test]
    fn row_keys_come_back() {
        for (bits, depth) in [(0, 0), (1 << 58, 6), (u64::MAX << 4, 60)] {
            let prefix = Prefix::new(bits, depth).unwrap();
            assert_eq!(Prefix::from_row_key(prefix.row_key()), Some(prefix));
        }
        for key in [0, 1, 1 << 62] {
            assert_eq!(Prefix::from_row_key(key), None, "{key:x}");
        }
    }

    #[test]
    fn slots_spell_the_address() {
        let address = Address::from_bits(0x0123_4567_89ab_cdef);
        let mut prefix = Prefix::TOP;
        while prefix.has_children() {
            assert!(prefix.covers(address));
            prefix = prefix.below(prefix.slot(address));
        }
        assert_eq!(prefix.depth(), 60);
        assert_eq!(
            prefix.bits() | u64::from(prefix.slot(address).0),
            address.bits()
        );
        assert!(!prefix.covers(Address::from_bits(0x0123_4567_89ab_cdff)));
    }
}
