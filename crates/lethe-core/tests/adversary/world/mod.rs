//! A deployment in miniature: HSM, database, cache and the batches that change them, with the
//! truth about every leaf beside it.

mod draft;
mod stream;
mod verdict;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use lethe_core::directory::Directory;
use lethe_core::identity::{DeploymentId, HsmKeyId, KeyspaceId};
use lethe_core::keyspace::KeyVersion;
use lethe_core::secret::Secret32;
use lethe_core::tree::{KeptPages, Loaded, PageReference, Prefix, Row, TailId, TreeId};

use crate::evidence::{Bytes32, Kept, SeizedEvidence, cipher, open};
use draft::Draft;
use stream::Stream;

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
    evidence: SeizedEvidence,
    hsm: HashMap<HsmKeyId, Bytes32>,
    meta: Meta,
    pages: HashMap<(TreeId, Prefix), Vec<u8>>,
    tails: HashMap<TailId, Vec<u8>>,
    next_tail: TailId,
    /// Follows every batch.
    cache: KeptPages,
    /// Hears of no batch, so it has stale pages.
    stale: KeptPages,
    stream: Stream,
    page_keys: Stream,
    directory_key: Cell<Option<Bytes32>>,
}

impl World {
    pub(crate) fn new(fault: Fault) -> Self {
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
            evidence: SeizedEvidence::default(),
            hsm: HashMap::new(),
            meta,
            pages: HashMap::new(),
            tails: HashMap::new(),
            next_tail: TailId::new(1),
            cache: KeptPages::default(),
            stale: KeptPages::default(),
            stream: Stream::new(0, false),
            page_keys: Stream::new(1 << 32, fault == Fault::PageKeysRepeat),
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
        let before = (self.stream.at(), self.page_keys.at());
        self.draft(first);
        if self.fault == Fault::RetryDrawsTheSame {
            self.stream.wind_back(before.0);
            self.page_keys.wind_back(before.1);
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

    fn commit(&mut self, change: &Change, (meta, punctured, seed): Draft) {
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
}

fn load(
    pages: &HashMap<(TreeId, Prefix), Vec<u8>>,
    tails: &HashMap<TailId, Vec<u8>>,
    reference: &PageReference,
) -> Loaded {
    let row = match reference.row() {
        Row::Page => &pages[&(reference.tree(), reference.prefix())],
        Row::Tail(id) => &tails[&id],
    };
    reference.open(DEPLOYMENT, row).unwrap()
}
