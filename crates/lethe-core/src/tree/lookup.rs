//! Finds the leaf of an address, with the pages at hand.

use std::ops::Deref;

use super::name::{Prefix, TailId, TreeId};
use super::page::{Branch, Child, Page};
use super::sealed::{KeyMark, PageReference, Row};
use super::seed::{self, Seed};
use super::tail::Tail;
use super::{Address, CoverRoot, Tree};
use crate::secret::Secret32;

/// Pages at hand: a cache, or what a batch has loaded. An old page with the same name does no harm: its
/// key is another one, so it counts as missing.
pub trait LoadedPages {
    /// The type of a page that is lent: a reference, or an `Arc`.
    type Page<'a>: Deref<Target = Page>
    where
        Self: 'a;
    /// The type of a tail that is lent.
    type Tail<'a>: Deref<Target = Tail>
    where
        Self: 'a;

    /// The page of this tree and prefix.
    fn page(&self, tree: TreeId, prefix: Prefix) -> Option<Self::Page<'_>>;

    /// The tail of this tree and row.
    fn tail(&self, tree: TreeId, id: TailId) -> Option<Self::Tail<'_>>;
}

/// What a lookup finds.
#[derive(Debug)]
pub enum Lookup {
    /// The conversation key.
    Leaf(Secret32),
    /// The leaf is forgotten.
    Forgotten,
    /// This row has to be loaded and opened first. Then look again.
    Missing(PageReference),
}

/// Where a walk from the top ends.
pub(super) enum Walk<T> {
    Covered(T),
    Forgotten,
    Missing(PageReference),
}

impl Tree<'_> {
    /// Finds the leaf at `address`.
    pub fn lookup(&self, address: Address, pages: &impl LoadedPages) -> Lookup {
        match self.walk(address, pages, |seed, depth| {
            seed::leaf(seed, depth, address)
        }) {
            Walk::Covered(leaf) => Lookup::Leaf(leaf),
            Walk::Forgotten => Lookup::Forgotten,
            Walk::Missing(page) => Lookup::Missing(page),
        }
    }

    /// The leaf of a tree that is whole, which needs no pages; none of another.
    #[must_use]
    pub fn leaf_of_whole(&self, address: Address) -> Option<Secret32> {
        match self.root {
            CoverRoot::Whole(seed) => Some(seed::leaf(seed.expose(), 0, address)),
            CoverRoot::Page(_) => None,
        }
    }

    /// Walks down to the seed that covers `address`, and hands it over with its level.
    pub(super) fn walk<T>(
        &self,
        address: Address,
        pages: &impl LoadedPages,
        covered: impl FnOnce(&Seed, u8) -> T,
    ) -> Walk<T> {
        match self.root {
            CoverRoot::Whole(seed) => Walk::Covered(covered(seed.expose(), 0)),
            CoverRoot::Page(top) => self
                .descend(address, pages, top.key.expose(), covered)
                .unwrap_or_else(Walk::Missing),
        }
    }

    fn descend<T>(
        &self,
        address: Address,
        pages: &impl LoadedPages,
        top: &Seed,
        covered: impl FnOnce(&Seed, u8) -> T,
    ) -> Result<Walk<T>, PageReference> {
        let mut page = load_page(pages, self.id, Prefix::TOP, top)?;
        loop {
            let here = page.prefix();
            let below = match page.branch(address) {
                Branch::Seed { seed, depth } => return Ok(Walk::Covered(covered(seed, depth))),
                Branch::Forgotten => return Ok(Walk::Forgotten),
                Branch::Child(Child::Page { key }) => {
                    load_page(pages, self.id, here.below(here.slot(address)), key)?
                }
                Branch::Child(Child::Tail { id, key }) => {
                    let prefix = here.below(here.slot(address));
                    let tail = load_tail(pages, self.id, (prefix, id), key)?;
                    let seed = tail.co_path().seed(address);
                    return Ok(seed.map_or(Walk::Forgotten, |(seed, depth)| {
                        Walk::Covered(covered(seed, depth))
                    }));
                }
            };
            page = below;
        }
    }
}

/// The page at hand that this key opened.
pub(super) fn load_page<'p, P: LoadedPages>(
    pages: &'p P,
    tree: TreeId,
    prefix: Prefix,
    key: &Seed,
) -> Result<P::Page<'p>, PageReference> {
    pages
        .page(tree, prefix)
        .filter(|page| page.opened_by() == KeyMark::from_key(key))
        .ok_or_else(|| PageReference::new(tree, prefix, Row::Page, key))
}

/// The tail at hand that this key opened.
pub(super) fn load_tail<'p, P: LoadedPages>(
    pages: &'p P,
    tree: TreeId,
    (prefix, id): (Prefix, TailId),
    key: &Seed,
) -> Result<P::Tail<'p>, PageReference> {
    pages
        .tail(tree, id)
        .filter(|tail| tail.opened_by() == KeyMark::from_key(key) && tail.fits(prefix))
        .ok_or_else(|| PageReference::new(tree, prefix, Row::Tail(id), key))
}
