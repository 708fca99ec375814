//! Pages and tails in memory, within limits. Shared by all snapshots of the keyring: a page is told
//! apart by its key, so an old one never answers for a new one. And none of an older state gets
//! in any more once [`PageCache::advance`] has returned: nodes forget, too.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::tree::{Loaded, LoadedPages, Page, Prefix, Tail, TailId, TreeId};

/// What an entry costs beside its bytes.
const OVERHEAD: u64 = 160;

/// Most bytes of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// For inner pages.
    pub pages: u64,
    /// For tails.
    pub tails: u64,
}

impl Default for CacheLimits {
    /// All inner pages of more than a million shreds (DESIGN section 5).
    fn default() -> Self {
        Self {
            pages: 256 << 20,
            tails: 32 << 20,
        }
    }
}

#[derive(Clone)]
struct Bytes;

impl Weighter<(TreeId, Prefix), Arc<Page>> for Bytes {
    fn weight(&self, _: &(TreeId, Prefix), page: &Arc<Page>) -> u64 {
        page.size() as u64 + OVERHEAD
    }
}

impl Weighter<(TreeId, TailId), Arc<Tail>> for Bytes {
    fn weight(&self, _: &(TreeId, TailId), tail: &Arc<Tail>) -> u64 {
        tail.size() as u64 + OVERHEAD
    }
}

/// What a batch changed of a tree, for caches.
#[derive(Debug)]
pub struct Grown {
    /// Which tree.
    pub tree: TreeId,
    /// New pages and tails.
    pub loaded: Vec<Loaded>,
    /// Tails that are no more.
    pub superseded: Vec<TailId>,
    /// Sealed bytes that were written for it.
    pub bytes: u64,
}

/// The cache.
pub struct PageCache {
    pages: Cache<(TreeId, Prefix), Arc<Page>, Bytes>,
    tails: Cache<(TreeId, TailId), Arc<Tail>, Bytes>,
    /// Sequence of the state that it holds; written while that changes.
    sequence: RwLock<u64>,
}

impl PageCache {
    /// An empty one.
    #[must_use]
    pub fn new(limits: CacheLimits) -> Self {
        let items = |bytes: u64| usize::try_from(bytes / 1_024).unwrap_or(usize::MAX);
        Self {
            pages: Cache::with_weighter(items(limits.pages), limits.pages, Bytes),
            tails: Cache::with_weighter(items(limits.tails), limits.tails, Bytes),
            sequence: RwLock::new(0),
        }
    }

    /// Keeps what was loaded under the state of `sequence`; refused, and false, when that is over.
    pub fn insert(&self, loaded: Loaded, sequence: u64) -> bool {
        let present = self.sequence.read();
        if *present != sequence {
            return false;
        }
        self.keep(loaded);
        true
    }

    /// Keeps what a batch has loaded under the state of `sequence`, unless that is over.
    pub(crate) fn share(
        &self,
        pages: HashMap<(TreeId, Prefix), Arc<Page>>,
        tails: HashMap<(TreeId, TailId), Arc<Tail>>,
        sequence: u64,
    ) {
        let present = self.sequence.read();
        if *present != sequence {
            return;
        }
        for (name, page) in pages {
            self.pages.insert(name, page);
        }
        for (name, tail) in tails {
            self.tails.insert(name, tail);
        }
    }

    /// Goes on to the state of `sequence`: what it replaces is dropped and wiped.
    pub fn advance(&self, sequence: u64, grown: Vec<Grown>, dropped: &[TreeId]) {
        let mut present = self.sequence.write();
        *present = sequence;
        for Grown {
            tree,
            loaded,
            superseded,
            ..
        } in grown
        {
            for tail in superseded {
                self.tails.remove(&(tree, tail));
            }
            for loaded in loaded {
                self.keep(loaded);
            }
        }
        if !dropped.is_empty() {
            self.pages.retain(|(tree, _), _| !dropped.contains(tree));
            self.tails.retain(|(tree, _), _| !dropped.contains(tree));
        }
    }

    /// Drops all: the state is not the one that was known.
    pub fn restart(&self, sequence: u64) {
        let mut present = self.sequence.write();
        *present = sequence;
        self.pages.clear();
        self.tails.clear();
    }

    /// Bytes of pages and of tails, now.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        (self.pages.weight(), self.tails.weight())
    }

    fn keep(&self, loaded: Loaded) {
        match loaded {
            Loaded::Page(tree, page) => self.pages.insert((tree, page.prefix()), Arc::new(page)),
            Loaded::Tail(tree, id, tail) => self.tails.insert((tree, id), Arc::new(tail)),
        }
    }
}

impl LoadedPages for PageCache {
    type Page<'a> = Arc<Page>;
    type Tail<'a> = Arc<Tail>;

    fn page(&self, tree: TreeId, prefix: Prefix) -> Option<Arc<Page>> {
        self.pages.get(&(tree, prefix))
    }

    fn tail(&self, tree: TreeId, id: TailId) -> Option<Arc<Tail>> {
        self.tails.get(&(tree, id))
    }
}
