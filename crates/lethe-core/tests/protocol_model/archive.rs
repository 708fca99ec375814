//! `W` of `docs/design.md#promises`: all that was ever written outside the HSM, for ever.
//!
//! Kept as what it is good for. A directory opens under its root and yields page keys; a page
//! opens under its key, so all versions sealed under one key are the union of their leaves.

use crate::names::{Leaf, PageKeys, ROOTS, RootId};
use crate::set::{Member, Set};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Archive {
    /// Page keys in the directories sealed under each root.
    directories: [Set<PageKeys>; ROOTS],
    /// Leaves that live in any page sealed under each key.
    pages: [Set<Leaf>; ROOTS],
    /// Other leaves under which a data key of [`Leaf::Shredded`] was wrapped again.
    rewrapped: Set<Leaf>,
}

impl Archive {
    pub(crate) const EMPTY: Self = Self {
        directories: [Set::EMPTY; ROOTS],
        pages: [Set::EMPTY; ROOTS],
        rewrapped: Set::EMPTY,
    };

    /// Bytes went to a database. Whether they are ever committed is all the same to a thief.
    pub(crate) fn keep(&mut self, root: RootId, keys: PageKeys, live: Set<Leaf>) {
        let directory = &mut self.directories[root.index()];
        *directory = directory.with(Set::single(keys));
        let pages = &mut self.pages[keys.index()];
        *pages = pages.with(live);
    }

    pub(crate) fn keep_rewrapped(&mut self, under: Leaf) {
        if under != Leaf::Shredded {
            self.rewrapped = self.rewrapped.with(Set::single(under));
        }
    }

    /// Leaves whose data keys can be derived with these roots.
    pub(crate) fn derivable(&self, roots: Set<RootId>) -> Set<Leaf> {
        let keys = roots
            .iter()
            .flat_map(|root| self.directories[root.index()].iter());
        let leaves = keys.fold(Set::EMPTY, |all, key| all.with(self.pages[key.index()]));
        if leaves.meets(self.rewrapped) {
            leaves.with(Set::single(Leaf::Shredded))
        } else {
            leaves
        }
    }
}
