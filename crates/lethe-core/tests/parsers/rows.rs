//! Rows of the forgetting tree with any clear bytes in them, sealed as `docs/FORMATS.md` says and
//! opened through the public API, as the service opens them.

use std::collections::HashMap;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use lethe_core::identity::{DeploymentId, KeyspaceId};
use lethe_core::keyspace::KeyVersion;
use lethe_core::secret::Secret32;
use lethe_core::tree::{
    Address, CoverRoot, KeptPages, PageError, PageReference, Prefix, Row, TailId, TopPage, Tree,
    TreeId,
};

pub const DEPLOYMENT: DeploymentId = DeploymentId::from_bytes([7; 16]);
pub const TREE: TreeId = TreeId {
    keyspace: KeyspaceId::from_bytes([1; 16]),
    version: KeyVersion::FIRST,
};
const VERSION: u64 = 5;

type Key = [u8; 32];

/// A tree whose rows are made when they are asked for.
pub struct Rows {
    pub root: CoverRoot,
    pub pages: KeptPages,
    /// Of every row that a page at hand speaks of.
    keys: HashMap<(Prefix, Row), Key>,
    tails: HashMap<TailId, Prefix>,
    /// A tail stands behind two slots: no release of ours seals such a page, and a store has but
    /// one row of that id, which opens in one place.
    pub ambiguous: bool,
}

impl Rows {
    pub fn new() -> Self {
        let top = [0xd1; 32];
        Self {
            root: CoverRoot::Page(TopPage {
                key: Secret32::filled(|bytes| *bytes = top),
                forgotten: 1,
            }),
            pages: KeptPages::default(),
            keys: HashMap::from([((Prefix::TOP, Row::Page), top)]),
            tails: HashMap::new(),
            ambiguous: false,
        }
    }

    pub fn tree(&self) -> Tree<'_> {
        Tree {
            id: TREE,
            root: &self.root,
        }
    }

    /// Seals `clear` in the place that is missing, and opens it there.
    pub fn put(&mut self, missing: &PageReference, clear: &[u8]) -> Result<(), PageError> {
        let (prefix, row) = (missing.prefix(), missing.row());
        let sealed = seal(&self.keys[&(prefix, row)], prefix, row, clear);
        self.pages.insert(missing.open(DEPLOYMENT, &sealed)?);
        match row {
            Row::Page => self.note_children(prefix, clear),
            Row::Tail(_) => {
                let leaf = u64::from_be_bytes(clear[..8].try_into().expect("8 bytes"));
                assert!(prefix.covers(Address::from_bits(leaf)));
                assert_eq!(clear.len(), tail(prefix, leaf).len());
            }
        }
        Ok(())
    }

    /// Entries stand at the end of a page, so they are read from there. Asserts what FORMATS says
    /// of an accepted page.
    fn note_children(&mut self, prefix: Prefix, mut clear: &[u8]) {
        let (occupied, inner) = masks(clear);
        let width = width(prefix);
        assert_eq!(inner & !occupied, 0);
        assert!(occupied != 0 && occupied <= u64::MAX >> (64 - (1 << width)));
        assert!(width == 6 || inner == 0);
        for slot in (0..64_u64)
            .rev()
            .filter(|slot| width == 6 && occupied >> slot & 1 == 1)
        {
            let key = cut_last(&mut clear);
            let depth = prefix.depth() + 6;
            let below = Prefix::new(prefix.bits() | slot << (64 - depth), depth);
            let below = below.expect("the prefix of a slot");
            let row = if inner >> slot & 1 == 1 {
                Row::Page
            } else {
                let id = TailId::new(u64::from_be_bytes(cut_last(&mut clear)));
                self.ambiguous |= self.tails.insert(id, below).is_some();
                Row::Tail(id)
            };
            self.keys.insert((below, row), key);
        }
        assert_eq!(clear.len(), 16 + 32 * seeds(occupied, width));
    }

    /// Some tail or page that the parser accepts in the place that is missing.
    pub fn put_any(&mut self, missing: &PageReference) {
        let prefix = missing.prefix();
        let clear = match missing.row() {
            Row::Page => {
                // Ids that a fuzzer does not meet by counting.
                let first = 0xa5c3_0000_0000_0000 + 2 * self.tails.len() as u64;
                page(0b101, 0, width(prefix), |slot| first + slot)
            }
            Row::Tail(_) => tail(prefix, prefix.bits()),
        };
        self.put(missing, &clear).expect("a page that is accepted");
    }
}

/// `occupied` and `inner`.
pub fn masks(clear: &[u8]) -> (u64, u64) {
    let mask = |at: usize| clear[at..at + 8].try_into().expect("8 bytes");
    (u64::from_be_bytes(mask(0)), u64::from_be_bytes(mask(8)))
}

fn cut_last<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (rest, last) = bytes.split_last_chunk().expect("an accepted page is whole");
    *bytes = rest;
    *last
}

/// Levels that a page spans.
pub fn width(prefix: Prefix) -> u32 {
    u32::from(6.min(64 - prefix.depth()))
}

/// A page of these masks, as long as they ask for; `id` names the tails. `width`: 6, at the leaves 4.
pub fn page(occupied: u64, inner: u64, width: u32, id: impl Fn(u64) -> u64) -> Vec<u8> {
    let mut bytes = [occupied.to_be_bytes(), inner.to_be_bytes()].concat();
    bytes.resize(16 + 32 * seeds(occupied, width), 0x5e);
    for slot in (0..64_u64).filter(|slot| width == 6 && occupied >> slot & 1 == 1) {
        if inner >> slot & 1 == 0 {
            bytes.extend(id(slot).to_be_bytes());
        }
        bytes.extend([0x80 | slot as u8; 32]);
    }
    bytes
}

/// The largest subtrees without an occupied slot, counted by their definition.
fn seeds(occupied: u64, width: u32) -> usize {
    if occupied == 0 {
        return 1;
    }
    let Some(half) = width.checked_sub(1) else {
        return 0;
    };
    let right = occupied >> (1 << half);
    let left = occupied & !(u64::MAX << (1 << half));
    seeds(left, half) + seeds(right, half)
}

/// The tail of `prefix` in which `leaf` is forgotten.
pub fn tail(prefix: Prefix, leaf: u64) -> Vec<u8> {
    let mut bytes = leaf.to_be_bytes().to_vec();
    bytes.resize(8 + 32 * usize::from(64 - prefix.depth()), 0x7a);
    bytes
}

fn seal(key: &Key, prefix: Prefix, row: Row, clear: &[u8]) -> Vec<u8> {
    let (label, number, header) = match row {
        Row::Page => (b"lethe/v1/page", VERSION, Some(VERSION.to_be_bytes())),
        Row::Tail(id) => (b"lethe/v1/tail", id.number(), None),
    };
    let data = [
        label.as_slice(),
        DEPLOYMENT.as_bytes(),
        TREE.keyspace.as_bytes(),
        &TREE.version.number().to_be_bytes(),
        &prefix.bits().to_be_bytes(),
        &[prefix.depth()],
        &number.to_be_bytes(),
    ];
    let header = header.as_ref().map_or([].as_slice(), |header| header);
    [header, &seal_once(key, &data.concat(), clear)].concat()
}

/// AES-256-GCM with the nonce of single-use keys; ciphertext, then the tag.
pub fn seal_once(key: &Key, data: &[u8], clear: &[u8]) -> Vec<u8> {
    let mut sealed = clear.to_vec();
    let key = UnboundKey::new(&AES_256_GCM, key).expect("32 bytes are a key of AES-256");
    let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
    LessSafeKey::new(key)
        .seal_in_place_append_tag(nonce, Aad::from(data), &mut sealed)
        .expect("far below the limit of AES-GCM");
    sealed
}
