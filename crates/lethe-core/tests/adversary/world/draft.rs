//! A batch up to its commit: what it makes, and what the adversary gets of it.

use lethe_core::directory::{Directory, Entry, root_aad};
use lethe_core::identity::HsmKeyId;
use lethe_core::secret::Secret32;
use lethe_core::tree::{
    Address, CoverRoot, PageReference, PageVersion, Puncture, PunctureError, Punctured, TailId,
    TreeId,
};

use super::{Change, DEPLOYMENT, Fault, Meta, World, load};
use crate::evidence::{Bytes32, Kept, seal_meta};

/// The new meta row, what was punctured, and the seed of the version that was added.
pub(super) type Draft = (Meta, Vec<(TreeId, Punctured)>, Option<Bytes32>);

impl World {
    /// Computes a batch; the adversary gets all of it, whatever becomes of it.
    pub(super) fn draft(&mut self, change: &Change) -> Draft {
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
        self.evidence
            .keep(Kept::Meta { sequence, root }, meta.sealed_key.clone());
        self.evidence
            .keep(Kept::Directory { sequence }, meta.directory.clone());
        for (tree, done) in punctured {
            let tree = *tree;
            for page in &done.pages {
                let (bits, depth) = (page.prefix.bits(), page.prefix.depth());
                self.evidence
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
                self.evidence.keep(what, tail.bytes.clone());
            }
        }
        self.metas.push(meta.clone());
    }
}
