//! Pages, tails and conversation keys in memory, within limits. All states of the keyring share the
//! cache: a page is identified by its key, so an old page is never used for a new one, and a
//! conversation key never changes until it is forgotten. After [`PageCache::advance`] has returned,
//! nothing of an older state can be added: nodes forget, too.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::secret::Secret32;
use crate::tree::{Address, LeafId, Loaded, LoadedPages, Page, Prefix, Tail, TailId, TreeId};

/// Bytes that an entry takes beside its content.
const OVERHEAD: u64 = 160;

/// Most bytes that the cache may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// Most bytes of inner pages.
    pub pages: u64,
    /// Most bytes of tails.
    pub tails: u64,
    /// Most bytes of conversation keys.
    pub conversation_keys: u64,
}

impl Default for CacheLimits {
    /// All inner pages of more than a million shreds (`docs/design.md#pages`), and the keys of some hundred
    /// thousand conversations.
    fn default() -> Self {
        Self {
            pages: 256 << 20,
            tails: 32 << 20,
            conversation_keys: 24 << 20,
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

impl Weighter<LeafId, Arc<Secret32>> for Bytes {
    fn weight(&self, _: &LeafId, _: &Arc<Secret32>) -> u64 {
        32 + OVERHEAD
    }
}

/// What a batch changed in a tree, so that caches can follow.
#[derive(Debug)]
pub struct TreeDelta {
    /// The tree.
    pub tree: TreeId,
    /// Leaves that the batch forgot.
    pub forgotten: Vec<Address>,
    /// New pages and tails.
    pub loaded: Vec<Loaded>,
    /// Tails that no page refers to any more.
    pub superseded: Vec<TailId>,
    /// Number of sealed bytes that were written for the tree.
    pub bytes: u64,
}

/// The cache of a node.
pub struct PageCache {
    pages: Cache<(TreeId, Prefix), Arc<Page>, Bytes>,
    tails: Cache<(TreeId, TailId), Arc<Tail>, Bytes>,
    conversation_keys: Cache<LeafId, Arc<Secret32>, Bytes>,
    /// The sequence of the state in the cache. The lock is held for writing while the state changes.
    sequence: RwLock<u64>,
}

impl PageCache {
    /// An empty cache.
    #[must_use]
    pub fn new(limits: CacheLimits) -> Self {
        let items = |bytes: u64, each: u64| usize::try_from(bytes / each).unwrap_or(usize::MAX);
        let keys = limits.conversation_keys;
        Self {
            pages: Cache::with_weighter(items(limits.pages, 1_024), limits.pages, Bytes),
            tails: Cache::with_weighter(items(limits.tails, 1_024), limits.tails, Bytes),
            conversation_keys: Cache::with_weighter(items(keys, 32 + OVERHEAD), keys, Bytes),
            sequence: RwLock::new(0),
        }
    }

    /// Adds a page or tail that was loaded for the state of `sequence`. False if that state was
    /// replaced: then nothing is added.
    pub fn insert(&self, loaded: Loaded, sequence: u64) -> bool {
        let present = self.sequence.read();
        if *present != sequence {
            return false;
        }
        self.keep(loaded);
        true
    }

    /// A conversation key in the cache.
    #[must_use]
    pub fn conversation_key(&self, leaf: LeafId) -> Option<Arc<Secret32>> {
        self.conversation_keys.get(&leaf)
    }

    /// Adds a conversation key that was derived from the state of `sequence`. False if that state was
    /// replaced: then nothing is added, because the key may be forgotten by now.
    pub fn keep_conversation_key(&self, leaf: LeafId, key: Arc<Secret32>, sequence: u64) -> bool {
        let present = self.sequence.read();
        if *present != sequence {
            return false;
        }
        self.conversation_keys.insert(leaf, key);
        true
    }

    /// Adds what a batch has loaded for the state of `sequence`, unless that state was replaced.
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

    /// Advances to the state of `sequence`: what it replaces is dropped and wiped.
    pub fn advance(&self, sequence: u64, deltas: Vec<TreeDelta>, dropped: &[TreeId]) {
        let mut present = self.sequence.write();
        *present = sequence;
        for TreeDelta {
            tree,
            forgotten,
            loaded,
            superseded,
            ..
        } in deltas
        {
            for address in forgotten {
                self.conversation_keys.remove(&LeafId { tree, address });
            }
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
            self.conversation_keys
                .retain(|leaf, _| !dropped.contains(&leaf.tree));
        }
    }

    /// Drops everything, because the new state is not the next one of the known state.
    pub fn restart(&self, sequence: u64) {
        let mut present = self.sequence.write();
        *present = sequence;
        self.pages.clear();
        self.tails.clear();
        self.conversation_keys.clear();
    }

    /// Bytes of pages and of tails in the cache.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::KeyspaceId;
    use crate::keyspace::KeyVersion;

    fn leaf(tree: u8, address: u64) -> LeafId {
        let tree = TreeId {
            keyspace: KeyspaceId::from_bytes([tree; 16]),
            version: KeyVersion::FIRST,
        };
        LeafId {
            tree,
            address: Address::from_bits(address),
        }
    }

    fn key() -> Arc<Secret32> {
        Arc::new(Secret32::filled(|bytes| bytes.fill(7)))
    }

    fn forgotten(leaf: LeafId) -> Vec<TreeDelta> {
        vec![TreeDelta {
            tree: leaf.tree,
            forgotten: vec![leaf.address],
            loaded: Vec::new(),
            superseded: Vec::new(),
            bytes: 0,
        }]
    }

    #[test]
    fn a_forgotten_conversation_key_is_dropped_and_does_not_come_back() {
        let cache = PageCache::new(CacheLimits::default());
        let (gone, stays, dropped) = (leaf(1, 1), leaf(1, 2), leaf(2, 1));
        for leaf in [gone, stays, dropped] {
            assert!(cache.keep_conversation_key(leaf, key(), 0));
        }
        cache.advance(1, forgotten(gone), &[dropped.tree]);
        assert!(cache.conversation_key(gone).is_none());
        assert!(cache.conversation_key(dropped).is_none());
        assert!(cache.conversation_key(stays).is_some());
        // Derived before, kept too late.
        assert!(!cache.keep_conversation_key(gone, key(), 0));
        assert!(cache.conversation_key(gone).is_none());
        cache.restart(2);
        assert!(cache.conversation_key(stays).is_none());
    }

    #[test]
    fn conversation_keys_stay_within_their_limit() {
        let limits = CacheLimits {
            conversation_keys: 1 << 20,
            ..CacheLimits::default()
        };
        let cache = PageCache::new(limits);
        for address in 0..20_000 {
            cache.keep_conversation_key(leaf(1, address), key(), 0);
        }
        assert!(cache.conversation_keys.weight() <= 1 << 20);
        assert!(cache.conversation_keys.len() > 4_000);
    }
}
