//! An inner page: a binary cover of 64 slots (16 at the leaves), and below each slot where
//! something is forgotten the key of the page or tail that says what.
//!
//! `occupied (8) || inner (8) || seeds (32 each) || entries of the occupied slots`: a tail's entry is
//! row id (8) and key (32), a page's (slot in `inner`) its key. The masks alone fix how many seeds
//! and entries there are and where each belongs, so a page has one encoding.

use super::Address;
use super::buffer::{SecretBytes, Writer};
use super::name::{Prefix, TailId};
use super::sealed::KeyMark;
use super::seed::Seed;
use super::shape::{self, SlotCover, lowest};

const MASKS: usize = 16;
const KEY: usize = 32;
pub(super) const TAIL_ENTRY: usize = 8 + KEY;

/// A page in the clear.
pub struct Page {
    prefix: Prefix,
    opened_by: KeyMark,
    bytes: SecretBytes,
}

/// Where an address leads in a page.
pub(super) enum Branch<'a> {
    /// Nothing is forgotten below this seed, which stands at level `depth`.
    Seed { seed: &'a Seed, depth: u8 },
    /// The slot has an entry, which leads to the row below.
    Child(Child<'a>),
    /// The slot is a leaf that is forgotten.
    Forgotten,
}

/// The entry of an occupied slot.
#[derive(Clone, Copy)]
pub(super) enum Child<'a> {
    Page { key: &'a Seed },
    Tail { id: TailId, key: &'a Seed },
}

impl Page {
    /// Checks everything that can be checked without the tree.
    pub(super) fn parse(prefix: Prefix, opened_by: KeyMark, bytes: SecretBytes) -> Option<Self> {
        let page = Self::masks_of(bytes.as_slice()).map(|_| Self {
            prefix,
            opened_by,
            bytes,
        })?;
        page.is_canonical().then_some(page)
    }

    fn is_canonical(&self) -> bool {
        let (occupied, inner) = (self.occupied(), self.inner());
        let slots = lowest(1 << self.prefix.width());
        let within = occupied & !slots == 0 && inner & !occupied == 0;
        let leaves_have_no_pages = self.prefix.has_children() || inner == 0;
        // One forgotten leaf alone is a tail, except at the top.
        let enough = occupied.count_ones() > 1 || inner != 0 || self.prefix == Prefix::TOP;
        let length = MASKS + 32 * self.seed_count() + self.entries_length(occupied);
        occupied != 0
            && within
            && leaves_have_no_pages
            && enough
            && self.bytes.as_slice().len() == length
    }

    /// Bytes in memory.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.bytes.as_slice().len()
    }

    pub(crate) const fn prefix(&self) -> Prefix {
        self.prefix
    }

    pub(super) const fn opened_by(&self) -> KeyMark {
        self.opened_by
    }

    /// Slots below which something is forgotten; bit 0 is the leftmost slot.
    pub(super) fn occupied(&self) -> u64 {
        Self::masks_of(self.bytes.as_slice()).map_or(0, |masks| masks.0)
    }

    pub(super) fn inner(&self) -> u64 {
        Self::masks_of(self.bytes.as_slice()).map_or(0, |masks| masks.1)
    }

    fn masks_of(bytes: &[u8]) -> Option<(u64, u64)> {
        let (occupied, rest) = bytes.split_first_chunk()?;
        let inner = rest.first_chunk()?;
        Some((u64::from_be_bytes(*occupied), u64::from_be_bytes(*inner)))
    }

    fn seed_count(&self) -> usize {
        shape::seeds(self.occupied(), self.prefix.width())
    }

    /// Bytes of the entries of the slots in `mask`, all of them occupied.
    fn entries_length(&self, mask: u64) -> usize {
        if !self.prefix.has_children() {
            return 0;
        }
        let tails = mask & !self.inner();
        KEY * mask.count_ones() as usize + (TAIL_ENTRY - KEY) * tails.count_ones() as usize
    }

    /// The seeds of the cover, left to right.
    pub(super) fn seeds(&self) -> &[Seed] {
        let (chunks, _) = self.bytes.as_slice()[MASKS..].as_chunks();
        &chunks[..self.seed_count()]
    }

    pub(super) fn branch(&self, address: Address) -> Branch<'_> {
        let slot = self.prefix.slot(address);
        match shape::find(self.occupied(), self.prefix.width(), slot) {
            SlotCover::Seed { index, height } => Branch::Seed {
                seed: &self.seeds()[index],
                depth: self.prefix.depth() + self.prefix.width() - height,
            },
            SlotCover::Occupied if !self.prefix.has_children() => Branch::Forgotten,
            SlotCover::Occupied => Branch::Child(self.child(slot.mask())),
        }
    }

    /// The entries of neighbouring occupied slots.
    pub(super) fn entries(&self, slots: u64) -> &[u8] {
        let before = self.occupied() & lowest(slots.trailing_zeros());
        let at = MASKS + 32 * self.seed_count() + self.entries_length(before);
        &self.bytes.as_slice()[at..at + self.entries_length(slots)]
    }

    /// The entry of the occupied slot whose mask is `slot`.
    pub(super) fn child(&self, slot: u64) -> Child<'_> {
        let entry = self.entries(slot);
        if self.inner() & slot != 0 {
            return Child::Page { key: key(entry) };
        }
        let (id, rest) = entry.split_at(TAIL_ENTRY - KEY);
        let id = id.iter().fold(0, |id, byte| id << 8 | u64::from(*byte));
        Child::Tail {
            id: TailId::new(id),
            key: key(rest),
        }
    }
}

/// The clear bytes of a page: the masks `occupied` and `inner`, its seeds, its entries.
pub(super) fn lay_out(masks: (u64, u64), seeds: &[u8], entries: &[u8]) -> SecretBytes {
    let mut page = Writer::with_capacity(MASKS + seeds.len() + entries.len());
    page.push(&masks.0.to_be_bytes());
    page.push(&masks.1.to_be_bytes());
    page.push(seeds);
    page.push(entries);
    page.finish()
}

/// # Panics
/// Never: the parser has checked the length.
fn key(bytes: &[u8]) -> &Seed {
    bytes.first_chunk().expect("an entry has its key")
}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Page({:?}, ..)", self.prefix)
    }
}
