//! A deployment in miniature: HSM, database, cache and the batches that change them, with the
//! truth about every leaf beside it.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;

use lethe_core::directory::{Directory, Entry, root_aad};
use lethe_core::identity::{DeploymentId, HsmKeyId, KeyspaceId};
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::{Entropy, EntropyError};
use lethe_core::secret::Secret32;
use lethe_core::tree::{
    Address, CoverRoot, KeptPages, Lookup, PageReference, PageVersion, Prefix, Puncture,
    PunctureError, Punctured, Row, TailId, TreeId,
};
use sha2::{Digest, Sha256};

use crate::haul::{Bytes32, Haul, Kept, cipher, leaf, open, seal_meta};

pub(crate) const DEPLOYMENT: DeploymentId = DeploymentId::from_bytes([7; 16]);

/// What is done wrong on purpose, to see the adversary win.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    None,
    PageKeysRepeat,
    DirectoryKeyStays,
    RetryDrawsTheSame,
    OldRootStays,
}

/// A stream of bytes that can be wound back, or stuck.
pub(crate) struct Stream {
    at: Mutex<u64>,
    stuck: bool,
}

impl Stream {
    fn draw(&self) -> Bytes32 {
        let mut at = self.at.lock().unwrap();
        *at += 1;
        Sha256::digest(at.to_be_bytes()).into()
    }

    fn secret(&self) -> Secret32 {
        let drawn = self.draw();
        Secret32::filled(|bytes| *bytes = drawn)
    }
}

impl Entropy for Stream {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        for chunk in bytes.chunks_mut(32) {
            let drawn = if self.stuck { [0x55; 32] } else { self.draw() };
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
        Ok(())
    }
}

/// What is true of a tree.
pub(crate) struct Truth {
    pub(crate) seed: Bytes32,
    pub(crate) live: BTreeSet<u64>,
    pub(crate) shredded: BTreeSet<u64>,
    pub(crate) dropped: bool,
}

/// The meta row.
#[derive(Clone)]
pub(crate) struct Meta {
    sequence: u64,
    root: HsmKeyId,
    sealed_key: Vec<u8>,
    directory: Vec<u8>,
}

#[derive(Default)]
pub(crate) struct Change {
    pub(crate) shred: BTreeMap<TreeId, Vec<u64>>,
    pub(crate) add: Option<TreeId>,
    pub(crate) drop: Vec<TreeId>,
}

pub(crate) struct World {
    pub(crate) fault: Fault,
    pub(crate) truth: BTreeMap<TreeId, Truth>,
    /// Every meta row that there ever was.
    pub(crate) metas: Vec<Meta>,
    haul: Haul,
    hsm: HashMap<HsmKeyId, Bytes32>,
    meta: Meta,
    pages: HashMap<(TreeId, Prefix), Vec<u8>>,
    tails: HashMap<TailId, Vec<u8>>,
    next_tail: TailId,
    /// Follows every batch.
    cache: KeptPages,
    /// Never told of a batch: holds stale pages.
    stale: KeptPages,
    stream: Stream,
    page_keys: Stream,
    directory_key: Cell<Option<Bytes32>>,
}

impl World {
    pub(crate) fn new(fault: Fault) -> Self {
        let stream = |at, stuck| Stream {
            at: Mutex::new(at),
            stuck,
        };
        let meta = Meta {
            sequence: 0,
            root: HsmKeyId::from_bytes([0; 16]),
            sealed_key: Vec::new(),
            directory: Vec::new(),
        };
        let mut world = Self {
            fault,
            truth: BTreeMap::new(),
            metas: Vec::new(),
            haul: Haul::default(),
            hsm: HashMap::new(),
            meta,
            pages: HashMap::new(),
            tails: HashMap::new(),
            next_tail: TailId::new(1),
            cache: KeptPages::default(),
            stale: KeptPages::default(),
            stream: stream(0, false),
            page_keys: stream(1 << 32, fault == Fault::PageKeysRepeat),
            directory_key: Cell::new(None),
        };
        world.rotate(1);
        world
    }

    /// Adds the next version of a keyspace.
    pub(crate) fn rotate(&mut self, keyspace: u8) {
        let keyspace = KeyspaceId::from_bytes([keyspace; 16]);
        let newest = self.truth.keys().filter(|tree| tree.keyspace == keyspace);
        let number = newest.map(|tree| tree.version.number()).max().unwrap_or(0) + 1;
        let version = KeyVersion::new(number).unwrap();
        let add = Some(TreeId { keyspace, version });
        self.batch(&Change {
            add,
            ..Change::default()
        });
    }

    /// A batch from its new root to the destruction of the old.
    pub(crate) fn batch(&mut self, change: &Change) {
        let draft = self.draft(change);
        self.commit(change, draft);
    }

    /// A batch that dies before its commit; its root stays in the HSM until the next sweep.
    pub(crate) fn crash(&mut self, change: &Change) {
        self.draft(change);
    }

    /// The transaction of `first` fails and is retried, by now with more to shred.
    pub(crate) fn retry(&mut self, first: &Change, then: &Change) {
        let before = (
            *self.stream.at.lock().unwrap(),
            *self.page_keys.at.lock().unwrap(),
        );
        self.draft(first);
        if self.fault == Fault::RetryDrawsTheSame {
            *self.stream.at.lock().unwrap() = before.0;
            *self.page_keys.at.lock().unwrap() = before.1;
        }
        self.batch(then);
    }

    /// Whether the service would start on an old copy of the database.
    pub(crate) fn starts_on(&self, meta: &Meta) -> bool {
        self.open_directory(meta).is_some()
    }

    pub(crate) fn is_current(&self, meta: &Meta) -> bool {
        meta.sequence == self.meta.sequence && meta.root == self.meta.root
    }

    /// A crashed batch after the current one: its root is there until the next sweep.
    pub(crate) fn is_orphan(&self, meta: &Meta) -> bool {
        meta.sequence > self.meta.sequence && self.hsm.contains_key(&meta.root)
    }

    pub(crate) fn lose_cache(&mut self) {
        self.cache = KeptPages::default();
    }

    pub(crate) fn lose_tails(&mut self) {
        self.cache.drop_tails();
    }

    fn open_directory(&self, meta: &Meta) -> Option<Directory> {
        let what = Kept::Meta {
            sequence: meta.sequence,
            root: meta.root,
        };
        let root = self.hsm.get(&meta.root)?;
        let key = open(&cipher(root), DEPLOYMENT, &what, &meta.sealed_key)?;
        let key = Secret32::filled(|bytes| bytes.copy_from_slice(&key));
        Some(Directory::open(&meta.directory, &key, DEPLOYMENT, meta.sequence).unwrap())
    }

    fn directory(&self) -> Directory {
        if self.metas.is_empty() {
            return Directory::default();
        }
        self.open_directory(&self.meta)
            .expect("the current root opens")
    }

    /// Computes a batch; the adversary gets all of it, whatever becomes of it.
    fn draft(&mut self, change: &Change) -> (Meta, Vec<(TreeId, Punctured)>, Option<Bytes32>) {
        let mut directory = self.directory();
        let sequence = self.meta.sequence + 1;
        let seed = change
            .add
            .map(|tree| self.add_version(&mut directory, tree));
        for tree in &change.drop {
            assert!(directory.remove(tree.keyspace, tree.version));
        }
        let mut punctured = Vec::new();
        let mut next_tail = self.next_tail;
        for (tree, leaves) in &change.shred {
            if let Some(done) = self.puncture(&directory, *tree, leaves, sequence, next_tail) {
                next_tail = done.next_tail;
                punctured.push((*tree, done));
            }
        }
        for (tree, done) in &mut punctured {
            let root = std::mem::replace(&mut done.root, CoverRoot::Whole(self.stream.secret()));
            assert!(directory.set_root(*tree, root));
        }
        let meta = self.seal(&directory, sequence);
        self.seize(&meta, &punctured);
        (meta, punctured, seed)
    }

    fn add_version(&self, directory: &mut Directory, tree: TreeId) -> Bytes32 {
        let seed = self.stream.draw();
        directory.insert(Entry {
            keyspace: tree.keyspace,
            version: tree.version,
            address_key: self.stream.secret(),
            root: CoverRoot::Whole(Secret32::filled(|bytes| *bytes = seed)),
        });
        seed
    }

    fn puncture(
        &mut self,
        directory: &Directory,
        tree: TreeId,
        leaves: &[u64],
        sequence: u64,
        next_tail: TailId,
    ) -> Option<Punctured> {
        let entry = directory.entry(tree.keyspace, tree.version).unwrap();
        let addresses: Vec<_> = leaves.iter().copied().map(Address::from_bits).collect();
        loop {
            let puncture = Puncture {
                deployment: DEPLOYMENT,
                version: PageVersion::new(sequence),
                next_tail,
                entropy: &self.page_keys,
            };
            match entry.tree().puncture(&addresses, &self.cache, puncture) {
                Ok(done) => return done,
                Err(PunctureError::Missing(missing)) => {
                    let load = |page: &PageReference| load(&self.pages, &self.tails, page);
                    let loaded: Vec<_> = missing.iter().map(load).collect();
                    loaded.into_iter().for_each(|page| self.cache.insert(page));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn seal(&mut self, directory: &Directory, sequence: u64) -> Meta {
        let (root, id) = (self.stream.draw(), self.stream.draw());
        let root_id = HsmKeyId::from_bytes(id[..16].try_into().unwrap());
        self.hsm.insert(root_id, root);
        let key = match self.directory_key.get() {
            Some(key) if self.fault == Fault::DirectoryKeyStays => key,
            _ => self.stream.draw(),
        };
        self.directory_key.set(Some(key));
        let secret = Secret32::filled(|bytes| *bytes = key);
        Meta {
            sequence,
            root: root_id,
            sealed_key: seal_meta(&root, &root_aad(DEPLOYMENT, sequence, root_id), &key),
            directory: directory.seal(&secret, DEPLOYMENT, sequence),
        }
    }

    fn seize(&mut self, meta: &Meta, punctured: &[(TreeId, Punctured)]) {
        let (sequence, root) = (meta.sequence, meta.root);
        self.haul
            .keep(Kept::Meta { sequence, root }, meta.sealed_key.clone());
        self.haul
            .keep(Kept::Directory { sequence }, meta.directory.clone());
        for (tree, done) in punctured {
            let tree = *tree;
            for page in &done.pages {
                let (bits, depth) = (page.prefix.bits(), page.prefix.depth());
                self.haul
                    .keep(Kept::Page { tree, bits, depth }, page.bytes.clone());
            }
            for tail in &done.tails {
                let (bits, depth, id) = (tail.prefix.bits(), tail.prefix.depth(), tail.id.number());
                let what = Kept::Tail {
                    tree,
                    bits,
                    depth,
                    id,
                };
                self.haul.keep(what, tail.bytes.clone());
            }
        }
        self.metas.push(meta.clone());
    }

    fn commit(
        &mut self,
        change: &Change,
        (meta, punctured, seed): (Meta, Vec<(TreeId, Punctured)>, Option<Bytes32>),
    ) {
        for (tree, done) in punctured {
            self.next_tail = done.next_tail;
            for page in &done.pages {
                self.pages.insert((tree, page.prefix), page.bytes.clone());
            }
            for tail in &done.tails {
                self.tails.insert(tail.id, tail.bytes.clone());
            }
            for id in &done.superseded {
                assert!(
                    self.tails.remove(id).is_some(),
                    "superseded and never written"
                );
            }
            self.cache.apply(tree, done);
        }
        self.meta = meta;
        let current = self.meta.root;
        if self.fault != Fault::OldRootStays {
            self.hsm.retain(|id, _| *id == current);
        }
        self.note(change, seed);
    }

    fn note(&mut self, change: &Change, seed: Option<Bytes32>) {
        if let (Some(tree), Some(seed)) = (change.add, seed) {
            let truth = Truth {
                seed,
                live: BTreeSet::new(),
                shredded: BTreeSet::new(),
                dropped: false,
            };
            self.truth.insert(tree, truth);
        }
        for tree in &change.drop {
            self.truth.get_mut(tree).unwrap().dropped = true;
            self.cache.forget(*tree);
        }
        for (tree, leaves) in &change.shred {
            let truth = self.truth.get_mut(tree).unwrap();
            for leaf in leaves {
                truth.live.remove(leaf);
                truth.shredded.insert(*leaf);
            }
        }
    }

    /// What the service answers for a leaf; `stale` from a cache that was told of no batch.
    fn service(
        &mut self,
        directory: &Directory,
        tree: TreeId,
        at: u64,
        stale: bool,
    ) -> Option<Bytes32> {
        let entry = directory.entry(tree.keyspace, tree.version)?;
        let cache = if stale {
            &mut self.stale
        } else {
            &mut self.cache
        };
        loop {
            match entry.tree().lookup(Address::from_bits(at), cache) {
                Lookup::Leaf(leaf) => return Some(*leaf.expose()),
                Lookup::Forgotten => return None,
                Lookup::Missing(page) => cache.insert(load(&self.pages, &self.tails, &page)),
            }
        }
    }

    /// Service against truth, for every leaf of every tree.
    pub(crate) fn serves_the_truth(&mut self) -> Result<(), String> {
        let directory = self.directory();
        let expected = self.expected();
        for (tree, address, truth) in expected {
            for stale in [false, true] {
                let answer = self.service(&directory, tree, address, stale);
                if answer != truth {
                    return Err(format!(
                        "{tree:?} {address:016x}: the service is wrong (stale: {stale})"
                    ));
                }
            }
        }
        self.counts_are_right(&directory)
    }

    fn counts_are_right(&self, directory: &Directory) -> Result<(), String> {
        for entry in directory.entries() {
            let shredded = self.truth[&entry.tree_id()].shredded.len() as u64;
            if entry.root.forgotten() != shredded {
                return Err(format!("{:?}: counts wrong", entry.tree_id()));
            }
        }
        Ok(())
    }

    /// Adversary against truth: derives every live leaf, and no other.
    pub(crate) fn adversary_learns_the_living_only(&self) -> Result<(), String> {
        let keys: Vec<Bytes32> = self.hsm.values().copied().collect();
        let knowledge = self.haul.open_with(DEPLOYMENT, &keys);
        for (tree, address, truth) in self.expected() {
            let derived = knowledge.leaves(tree, address);
            if derived != truth.into_iter().collect() {
                let what = if truth.is_some() {
                    "live and lost"
                } else {
                    "forgotten and found"
                };
                return Err(format!("{tree:?} {address:016x}: {what}"));
            }
        }
        Ok(())
    }

    /// Every leaf that was ever named, and its key if it lives.
    fn expected(&self) -> Vec<(TreeId, u64, Option<Bytes32>)> {
        let mut expected = Vec::new();
        for (tree, truth) in &self.truth {
            for address in &truth.live {
                let key = leaf(&truth.seed, 0, *address);
                expected.push((*tree, *address, (!truth.dropped).then_some(key)));
            }
            expected.extend(truth.shredded.iter().map(|address| (*tree, *address, None)));
        }
        expected
    }
}

fn load(
    pages: &HashMap<(TreeId, Prefix), Vec<u8>>,
    tails: &HashMap<TailId, Vec<u8>>,
    reference: &PageReference,
) -> lethe_core::tree::Loaded {
    let row = match reference.row() {
        Row::Page => &pages[&(reference.tree(), reference.prefix())],
        Row::Tail(id) => &tails[&id],
    };
    reference.open(DEPLOYMENT, row).unwrap()
}
