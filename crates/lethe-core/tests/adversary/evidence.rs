//! The adversary: keeps every byte that was ever sealed, gets the keys that are in the HSM now,
//! opens all that can be opened to a fixpoint. Reads `docs/FORMATS.md`, uses no code of the tree.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use lethe_core::identity::{DeploymentId, HsmKeyId};
use lethe_core::tree::TreeId;
use sha2::{Digest, Sha256};

pub(crate) type Bytes32 = [u8; 32];

/// A tree as FORMATS writes it: keyspace id and version.
type RawTree = ([u8; 16], [u8; 4]);

/// Anything that was ever written down, with what its associated data names.
#[derive(Clone)]
pub(crate) enum Kept {
    Meta {
        sequence: u64,
        root: HsmKeyId,
    },
    Directory {
        sequence: u64,
    },
    Page {
        tree: TreeId,
        bits: u64,
        depth: u8,
    },
    Tail {
        tree: TreeId,
        bits: u64,
        depth: u8,
        id: u64,
    },
}

#[derive(Default)]
pub(crate) struct SeizedEvidence {
    kept: Vec<(Kept, Vec<u8>)>,
}

/// What a set of HSM keys opens of a evidence.
#[derive(Default)]
pub(crate) struct Knowledge {
    /// Seeds: tree, first bits, depth.
    seeds: BTreeMap<RawTree, BTreeSet<(u64, u8, Bytes32)>>,
    /// Everything of 32 bytes that was found: each is tried as a key.
    keys: Vec<Bytes32>,
    known: HashSet<Bytes32>,
}

impl SeizedEvidence {
    pub(crate) fn keep(&mut self, what: Kept, bytes: Vec<u8>) {
        self.kept.push((what, bytes));
    }

    /// Tries every key on everything until nothing new opens.
    pub(crate) fn open_with(&self, deployment: DeploymentId, roots: &[Bytes32]) -> Knowledge {
        let mut knowledge = Knowledge::default();
        roots.iter().for_each(|root| knowledge.add_key(*root));
        let mut shut: Vec<_> = self.kept.iter().collect();
        let mut tried = 0;
        // A new key is tried on all that is shut; what it opens adds keys behind it.
        while let Some(key) = knowledge.keys.get(tried).copied() {
            let cipher = cipher(&key);
            let mut opened = Vec::new();
            shut.retain(
                |(what, bytes)| match open(&cipher, deployment, what, bytes) {
                    Some(clear) => {
                        opened.push((what, clear));
                        false
                    }
                    None => true,
                },
            );
            for (what, clear) in opened {
                knowledge.read(what, &clear);
            }
            tried += 1;
        }
        knowledge
    }
}

impl Knowledge {
    /// All values that the seeds in hand give for a leaf.
    pub(crate) fn leaves(&self, tree: TreeId, address: u64) -> BTreeSet<Bytes32> {
        let seeds = self.seeds.get(&raw(tree)).into_iter().flatten();
        let above = seeds.filter(|(bits, depth, _)| {
            (bits ^ address)
                .checked_shr(64 - u32::from(*depth))
                .unwrap_or(0)
                == 0
        });
        above
            .map(|(_, depth, seed)| leaf(seed, *depth, address))
            .collect()
    }

    fn add_key(&mut self, key: Bytes32) {
        if self.known.insert(key) {
            self.keys.push(key);
        }
    }

    fn add_seed(&mut self, tree: RawTree, bits: u64, depth: u8, seed: Bytes32) {
        self.add_key(seed);
        self.seeds
            .entry(tree)
            .or_default()
            .insert((bits, depth, seed));
    }

    fn read(&mut self, what: &Kept, clear: &[u8]) {
        match what {
            Kept::Meta { .. } => self.add_key(clear.try_into().unwrap()),
            Kept::Directory { .. } => self.read_directory(clear),
            Kept::Page { tree, bits, depth } => self.read_page(raw(*tree), (*bits, *depth), clear),
            Kept::Tail { tree, depth, .. } => self.read_tail(raw(*tree), *depth, clear),
        }
    }

    fn read_directory(&mut self, clear: &[u8]) {
        let (count, mut rest) = clear.split_first_chunk().unwrap();
        for _ in 0..u32::from_be_bytes(*count) {
            let tree = (
                rest[..16].try_into().unwrap(),
                rest[16..20].try_into().unwrap(),
            );
            self.add_key(rest[20..52].try_into().unwrap());
            let key = rest[53..85].try_into().unwrap();
            if rest[52] == 0 {
                self.add_seed(tree, 0, 0, key);
                rest = &rest[85..];
            } else {
                self.add_key(key);
                rest = &rest[93..];
            }
        }
        // The deployment key, if there is one.
        if let Some(key) = rest.get(1..33) {
            self.add_key(key.try_into().unwrap());
        }
    }

    fn read_page(&mut self, tree: RawTree, (bits, depth): (u64, u8), clear: &[u8]) {
        let occupied = u64::from_be_bytes(clear[..8].try_into().unwrap());
        let width = if depth == 60 { 4 } else { 6 };
        let mut rest = &clear[16..];
        // Cover nodes from left to right, each as a first slot and a number of slots.
        let mut nodes = vec![(0_u8, 1_u32 << width)];
        while let Some((first, slots)) = nodes.pop() {
            let inside = (first..).take(slots as usize);
            let mut taken = inside.filter(|slot| occupied >> slot & 1 == 1);
            if taken.next().is_none() {
                let level = depth + width - slots.ilog2() as u8;
                let place = bits | u64::from(first) << (64 - depth - width);
                self.add_seed(tree, place, level, rest[..32].try_into().unwrap());
                rest = &rest[32..];
            } else if slots > 1 {
                nodes.push((first + slots as u8 / 2, slots / 2));
                nodes.push((first, slots / 2));
            }
        }
        // Keys of children, wherever they stand: at every step of 8 bytes.
        for at in (0..rest.len().saturating_sub(31)).step_by(8) {
            self.add_key(rest[at..at + 32].try_into().unwrap());
        }
    }

    fn read_tail(&mut self, tree: RawTree, depth: u8, clear: &[u8]) {
        let address = u64::from_be_bytes(clear[..8].try_into().unwrap());
        for (level, seed) in (depth + 1..=64).zip(clear[8..].chunks_exact(32)) {
            let bit = 1_u64 << (64 - level);
            let sibling = (address ^ bit) & !(bit - 1);
            self.add_seed(tree, sibling, level, seed.try_into().unwrap());
        }
    }
}

fn raw(tree: TreeId) -> RawTree {
    (
        *tree.keyspace.as_bytes(),
        tree.version.number().to_be_bytes(),
    )
}

/// The leaf at `address` below a seed at level `depth`.
pub(crate) fn leaf(seed: &Bytes32, depth: u8, address: u64) -> Bytes32 {
    (depth..64).fold(*seed, |seed, level| {
        let bit = (address >> (63 - level) & 1) as u8;
        let step = Sha256::new()
            .chain_update(b"lethe/v1/tree")
            .chain_update([bit]);
        step.chain_update(seed).finalize().into()
    })
}

pub(crate) fn cipher(key: &Bytes32) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap())
}

/// Seals as the HSM does in these tests: each root seals one message.
pub(crate) fn seal_meta(root: &Bytes32, aad: &[u8], key: &Bytes32) -> Vec<u8> {
    let mut sealed = key.to_vec();
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    cipher(root)
        .seal_in_place_append_tag(nonce, Aad::from(aad), &mut sealed)
        .unwrap();
    sealed
}

pub(crate) fn open(
    cipher: &LessSafeKey,
    deployment: DeploymentId,
    what: &Kept,
    bytes: &[u8],
) -> Option<Vec<u8>> {
    let (aad, body) = associated_data(deployment, what, bytes);
    let mut clear = body.to_vec();
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    let length = cipher
        .open_in_place(nonce, Aad::from(aad), &mut clear)
        .ok()?
        .len();
    clear.truncate(length);
    Some(clear)
}

fn associated_data<'a>(
    deployment: DeploymentId,
    what: &Kept,
    bytes: &'a [u8],
) -> (Vec<u8>, &'a [u8]) {
    let deployment = deployment.as_bytes();
    let place = |label: &[u8], tree: &TreeId, bits: &u64, depth: u8, last: &[u8]| {
        let (keyspace, version) = raw(*tree);
        [
            label,
            deployment,
            &keyspace,
            &version,
            &bits.to_be_bytes(),
            &[depth],
            last,
        ]
        .concat()
    };
    match what {
        Kept::Meta { sequence, root } => {
            let sequence = sequence.to_be_bytes();
            (
                [
                    b"lethe/v1/meta",
                    &deployment[..],
                    &sequence,
                    root.as_bytes(),
                ]
                .concat(),
                bytes,
            )
        }
        Kept::Directory { sequence } => {
            let sequence = sequence.to_be_bytes();
            (
                [b"lethe/v1/directory", &deployment[..], &sequence].concat(),
                bytes,
            )
        }
        Kept::Page { tree, bits, depth } => {
            let (version, body) = bytes.split_at(8);
            (place(b"lethe/v1/page", tree, bits, *depth, version), body)
        }
        Kept::Tail {
            tree,
            bits,
            depth,
            id,
        } => (
            place(b"lethe/v1/tail", tree, bits, *depth, &id.to_be_bytes()),
            bytes,
        ),
    }
}
