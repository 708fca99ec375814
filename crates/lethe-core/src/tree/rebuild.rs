//! Lays out one page anew: walks its binary tree from left to right, keeps the seeds that still
//! cover nothing forgotten, derives those that a new leaf splits, and grows what stands below.

use super::Address;
use super::buffer::{SecretBytes, Writer};
use super::grow::{NewChild, TreeGrowth};
use super::lookup::{LoadedPages, load_page, load_tail};
use super::name::{Prefix, Slot};
use super::page::{self, Child, Page};
use super::puncture::PunctureError;
use super::seed::{Children, Seed};
use super::shape::{self, lowest};
use super::tail::CoPath;

/// What the cover below a prefix was.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// One seed: no leaf below is forgotten.
    Seed(&'a Seed),
    /// The seeds beside the path of one forgotten leaf.
    CoPath(CoPath<'a>),
    /// A page: more than one leaf is forgotten, or it is the top.
    Page(&'a Page),
}

impl Source<'_> {
    fn occupied(&self, prefix: Prefix) -> u64 {
        match self {
            Self::Seed(_) => 0,
            Self::CoPath(path) => prefix.slot(path.leaf).mask(),
            Self::Page(page) => page.occupied(),
        }
    }
}

/// A subtree of `2^height` slots in a page.
#[derive(Clone, Copy)]
struct Node {
    first: u8,
    height: u8,
}

impl Node {
    const fn mask(self) -> u64 {
        lowest(1 << self.height) << self.first
    }

    const fn halves(self) -> (Self, Self) {
        let height = self.height - 1;
        let left = Self {
            first: self.first,
            height,
        };
        let right = Self {
            first: self.first + (1 << height),
            height,
        };
        (left, right)
    }
}

/// A page that is being built.
pub(super) struct NewPage<'a> {
    prefix: Prefix,
    source: Source<'a>,
    /// Number of occupied slots of the source.
    before: u64,
    /// Number of seeds of the source that were read so far.
    read: usize,
    parts: Parts,
    inner: u64,
}

/// The seeds and entries of a page that is being built. The memory is used again for the next page.
pub(super) struct Parts {
    seeds: Writer,
    entries: Writer,
}

impl Parts {
    /// Room for any page: at most every other slot's neighbour is a seed.
    pub(super) fn new() -> Self {
        Self {
            seeds: Writer::with_capacity(32 * 32),
            entries: Writer::with_capacity(64 * page::TAIL_ENTRY),
        }
    }

    const fn rewind(&mut self) {
        self.seeds.rewind();
        self.entries.rewind();
    }
}

impl<'a> NewPage<'a> {
    /// The clear bytes of the page that forgets `leaves` beside what `source` does.
    pub(super) fn build<P: LoadedPages>(
        growth: &mut TreeGrowth<'_, P>,
        prefix: Prefix,
        source: Source<'a>,
        leaves: &[Address],
    ) -> Result<SecretBytes, PunctureError> {
        let before = source.occupied(prefix);
        let slots = leaves.iter().map(|leaf| prefix.slot(*leaf).mask());
        let occupied = slots.fold(before, |mask, slot| mask | slot);
        let mut page = Self {
            prefix,
            source,
            before,
            read: 0,
            parts: growth.spare.pop().unwrap_or_else(Parts::new),
            inner: 0,
        };
        let top = Node {
            first: 0,
            height: prefix.width(),
        };
        page.node(growth, top, None, leaves)?;
        let (seeds, entries) = (page.parts.seeds.written(), page.parts.entries.written());
        let clear = page::lay_out((occupied, page.inner), seeds, entries);
        page.parts.rewind();
        growth.spare.push(page.parts);
        Ok(clear)
    }

    /// `above` is the seed of this node where one of the source covers it.
    fn node<P: LoadedPages>(
        &mut self,
        growth: &mut TreeGrowth<'_, P>,
        node: Node,
        above: Option<&Seed>,
        leaves: &[Address],
    ) -> Result<(), PunctureError> {
        let seed = match above {
            None if self.before & node.mask() == 0 => Some(self.next_seed(node)),
            other => other,
        };
        match (seed, self.source) {
            (Some(seed), _) if leaves.is_empty() => self.parts.seeds.push(seed),
            (None, Source::Page(page)) if leaves.is_empty() => self.keep_all(page, node),
            _ if node.height == 0 => return self.slot(growth, Slot(node.first), seed, leaves),
            _ => return self.halves(growth, node, seed, leaves),
        }
        Ok(())
    }

    /// A part of the old page below which no new leaf lies: as it was.
    fn keep_all(&mut self, page: &Page, node: Node) {
        let occupied = self.before & node.mask();
        let seeds = shape::seeds(occupied >> node.first, node.height);
        let kept = &page.seeds()[self.read..self.read + seeds];
        self.read += seeds;
        self.parts.seeds.push(kept.as_flattened());
        self.parts.entries.push(page.entries(occupied));
        self.inner |= page.inner() & occupied;
    }

    fn halves<P: LoadedPages>(
        &mut self,
        growth: &mut TreeGrowth<'_, P>,
        node: Node,
        seed: Option<&Seed>,
        leaves: &[Address],
    ) -> Result<(), PunctureError> {
        let children = seed.map(|seed| Children::from_seed(seed, &mut growth.deriver));
        let (left, right) = node.halves();
        let middle = leaves.partition_point(|leaf| self.prefix.slot(*leaf).0 < right.first);
        let (in_left, in_right) = leaves.split_at(middle);
        self.node(growth, left, children.as_ref().map(Children::left), in_left)?;
        self.node(
            growth,
            right,
            children.as_ref().map(Children::right),
            in_right,
        )
    }

    /// The source's seed for a node of its cover; they are met in the order they stand in.
    fn next_seed(&mut self, node: Node) -> &'a Seed {
        match self.source {
            Source::Seed(seed) => seed,
            Source::CoPath(path) => {
                path.sibling(self.prefix.depth() + self.prefix.width() - node.height)
            }
            Source::Page(page) => {
                self.read += 1;
                &page.seeds()[self.read - 1]
            }
        }
    }

    /// An occupied slot: `seed` is that of the slot itself if nothing below was forgotten before.
    fn slot<P: LoadedPages>(
        &mut self,
        growth: &mut TreeGrowth<'_, P>,
        slot: Slot,
        seed: Option<&Seed>,
        leaves: &[Address],
    ) -> Result<(), PunctureError> {
        if !self.prefix.has_children() {
            return Ok(());
        }
        let below = self.prefix.below(slot);
        let child = match (seed, self.source) {
            (Some(seed), _) => growth.grow(below, Source::Seed(seed), leaves)?,
            (None, Source::Page(page)) => regrow(growth, below, page.child(slot.mask()), leaves)?,
            (None, source) => growth.grow(below, source, leaves)?,
        };
        match &child {
            NewChild::Page(key) => self.keep(slot, Child::Page { key: key.expose() }),
            NewChild::Tail(id, key) => {
                let (id, key) = (*id, key.expose());
                self.keep(slot, Child::Tail { id, key });
            }
        }
        Ok(())
    }

    fn keep(&mut self, slot: Slot, child: Child<'_>) {
        match child {
            Child::Page { key } => {
                self.inner |= slot.mask();
                self.parts.entries.push(key);
            }
            Child::Tail { id, key } => {
                self.parts.entries.push(&id.number().to_be_bytes());
                self.parts.entries.push(key);
            }
        }
    }
}

fn regrow<P: LoadedPages>(
    growth: &mut TreeGrowth<'_, P>,
    below: Prefix,
    child: Child<'_>,
    leaves: &[Address],
) -> Result<NewChild, PunctureError> {
    match child {
        Child::Page { key } => {
            let page = load_page(growth.pages, growth.tree, below, key)?;
            growth.grow(below, Source::Page(&page), leaves)
        }
        Child::Tail { id, key } => {
            let tail = load_tail(growth.pages, growth.tree, (below, id), key)?;
            growth.superseded.push(id);
            growth.grow(below, Source::CoPath(tail.co_path()), leaves)
        }
    }
}
