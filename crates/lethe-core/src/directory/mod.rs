//! The directory: the address key and the cover of every live key version of every keyspace. It is one
//! page, encrypted by a single-use key, which is encrypted by the root in the HSM.
//! `docs/design.md#directory`.
//!
//! Byte layout in `docs/FORMATS.md`.

mod commitments;
mod encoding;

use aws_lc_rs::aead::Aad;
use zeroize::Zeroizing;

use crate::identity::{DeploymentId, HsmKeyId, KeyspaceId};
use crate::keyspace::KeyVersion;
use crate::secret::Secret32;
use crate::single_use::{cipher, zero_nonce};
use crate::tree::{CoverRoot, Tree, TreeId};

pub use commitments::{Commitments, keyspaces_digest};

/// One key version's secrets.
pub struct Entry {
    /// The keyspace's id, which never changes.
    pub keyspace: KeyspaceId,
    /// The version.
    pub version: KeyVersion,
    /// The key that maps conversations to addresses.
    pub address_key: Secret32,
    /// The root of the cover of the version's tree.
    pub root: CoverRoot,
}

impl Entry {
    /// The id of its tree.
    #[must_use]
    pub const fn tree_id(&self) -> TreeId {
        TreeId {
            keyspace: self.keyspace,
            version: self.version,
        }
    }

    /// Its tree, for lookups and punctures.
    #[must_use]
    pub const fn tree(&self) -> Tree<'_> {
        Tree {
            id: self.tree_id(),
            root: &self.root,
        }
    }
}

/// All live key versions, ascending by keyspace and version, and the commitments to the store's other
/// rows.
#[derive(Default)]
pub struct Directory {
    entries: Vec<Entry>,
    commitments: Option<Commitments>,
}

/// A directory that does not open, or that no release of Lethe wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the directory does not open")]
pub struct InvalidDirectory;

impl Directory {
    /// The entries.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// One version.
    #[must_use]
    pub fn entry(&self, keyspace: KeyspaceId, version: KeyVersion) -> Option<&Entry> {
        let index = self.position(keyspace, version).ok()?;
        Some(&self.entries[index])
    }

    /// Replaces the root of a version's cover after a puncture. The old root is wiped. False if there
    /// is no such version.
    pub fn set_root(&mut self, tree: TreeId, root: CoverRoot) -> bool {
        let found = self.position(tree.keyspace, tree.version);
        found.map(|index| self.entries[index].root = root).is_ok()
    }

    /// Adds or replaces a version.
    pub fn insert(&mut self, entry: Entry) {
        match self.position(entry.keyspace, entry.version) {
            Ok(index) => self.entries[index] = entry,
            Err(index) => self.entries.insert(index, entry),
        }
    }

    /// Drops a version: the whole tree is forgotten when the root is replaced. False if there was none.
    pub fn remove(&mut self, keyspace: KeyspaceId, version: KeyVersion) -> bool {
        let found = self.position(keyspace, version);
        found.map(|index| self.entries.remove(index)).is_ok()
    }

    /// Drops all versions of a keyspace. Returns their trees.
    pub fn remove_keyspace(&mut self, keyspace: KeyspaceId) -> Vec<KeyVersion> {
        let of_it = |entry: &mut Entry| entry.keyspace == keyspace;
        let dropped = self.entries.extract_if(.., of_it);
        dropped.map(|entry| entry.version).collect()
    }

    fn position(&self, keyspace: KeyspaceId, version: KeyVersion) -> Result<usize, usize> {
        self.entries
            .binary_search_by_key(&(keyspace, version), |entry| {
                (entry.keyspace, entry.version)
            })
    }

    /// AES-256-GCM under `key`, which must be fresh: no key is ever used for two contents, so the
    /// nonce is 12 zero bytes. Ciphertext, then a 16-byte tag.
    ///
    /// # Panics
    /// Never: AES-256-GCM refuses only other key lengths and gigabytes of input.
    #[must_use]
    pub fn seal(&self, key: &Secret32, deployment: DeploymentId, sequence: u64) -> Vec<u8> {
        let mut page = self.encode();
        let tag = cipher(key.expose())
            .seal_in_place_separate_tag(
                zero_nonce(),
                Aad::from(page_aad(deployment, sequence)),
                &mut page,
            )
            .expect("a directory is far below the limit of AES-GCM");
        // The page is ciphertext now: no copy of the clear bytes is left.
        page.extend_from_slice(tag.as_ref());
        std::mem::take(&mut *page)
    }

    /// Opens what [`Self::seal`] made.
    ///
    /// # Errors
    /// [`InvalidDirectory`] if the key, the deployment or the sequence is another one, or the bytes
    /// were altered.
    pub fn open(
        sealed: &[u8],
        key: &Secret32,
        deployment: DeploymentId,
        sequence: u64,
    ) -> Result<Self, InvalidDirectory> {
        let mut page = Zeroizing::new(sealed.to_vec());
        let clear = cipher(key.expose())
            .open_in_place(
                zero_nonce(),
                Aad::from(page_aad(deployment, sequence)),
                &mut page,
            )
            .map_err(|_| InvalidDirectory)?;
        Self::decode(clear)
    }
}

/// Associated data of the directory key under the HSM's root.
#[must_use]
pub fn root_aad(deployment: DeploymentId, sequence: u64, root: HsmKeyId) -> Vec<u8> {
    [
        b"lethe/v1/meta".as_slice(),
        deployment.as_bytes(),
        &sequence.to_be_bytes(),
        root.as_bytes(),
    ]
    .concat()
}

fn page_aad(deployment: DeploymentId, sequence: u64) -> Vec<u8> {
    [
        b"lethe/v1/directory".as_slice(),
        deployment.as_bytes(),
        &sequence.to_be_bytes(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::TopPage;

    const DEPLOYMENT: DeploymentId = DeploymentId::from_bytes([9; 16]);

    fn secret(byte: u8) -> Secret32 {
        Secret32::filled(|bytes| bytes.fill(byte))
    }

    fn entry(keyspace: u8, version: u32) -> Entry {
        let version = KeyVersion::new(version).unwrap();
        Entry {
            keyspace: KeyspaceId::from_bytes([keyspace; 16]),
            version,
            address_key: secret(1),
            root: CoverRoot::Whole(secret(2)),
        }
    }

    fn directory() -> Directory {
        let mut directory = Directory::default();
        for (keyspace, version) in [(2, 1), (1, 2), (1, 1)] {
            directory.insert(entry(keyspace, version));
        }
        let paged = CoverRoot::Page(TopPage {
            key: secret(4),
            forgotten: 5,
        });
        assert!(directory.set_root(entry(1, 2).tree_id(), paged));
        directory
    }

    #[test]
    fn opens_as_it_was_sealed() {
        let sealed = directory().seal(&secret(3), DEPLOYMENT, 7);
        let opened = Directory::open(&sealed, &secret(3), DEPLOYMENT, 7).unwrap();
        let names: Vec<_> = opened
            .entries()
            .iter()
            .map(|e| (e.keyspace.as_bytes()[0], e.version.number()))
            .collect();
        assert_eq!(names, [(1, 1), (1, 2), (2, 1)]);
        let [whole, paged, _] = opened.entries() else {
            panic!("three entries")
        };
        assert!(matches!(&whole.root, CoverRoot::Whole(seed) if seed.same_as(&secret(2))));
        let CoverRoot::Page(top) = &paged.root else {
            panic!("a paged cover")
        };
        assert!(top.key.same_as(&secret(4)) && top.forgotten == 5);
    }

    #[test]
    fn opens_nowhere_else() {
        let sealed = directory().seal(&secret(3), DEPLOYMENT, 7);
        assert!(Directory::open(&sealed, &secret(4), DEPLOYMENT, 7).is_err());
        assert!(
            Directory::open(&sealed, &secret(3), DeploymentId::from_bytes([8; 16]), 7).is_err()
        );
        assert!(Directory::open(&sealed, &secret(3), DEPLOYMENT, 8).is_err());
        for length in 0..sealed.len() {
            assert!(Directory::open(&sealed[..length], &secret(3), DEPLOYMENT, 7).is_err());
        }
    }

    #[test]
    fn a_keyspace_goes_with_all_its_versions() {
        let mut directory = directory();
        let keyspace = KeyspaceId::from_bytes([1; 16]);
        let dropped = directory.remove_keyspace(keyspace);
        assert_eq!(
            dropped.iter().map(|v| v.number()).collect::<Vec<_>>(),
            [1, 2]
        );
        assert!(directory.remove_keyspace(keyspace).is_empty());
        assert_eq!(directory.entries().len(), 1);
    }

    #[test]
    fn removal_says_whether_it_was_there() {
        let mut directory = directory();
        let keyspace = KeyspaceId::from_bytes([1; 16]);
        assert!(directory.remove(keyspace, KeyVersion::FIRST));
        assert!(!directory.remove(keyspace, KeyVersion::FIRST));
        assert_eq!(directory.entries().len(), 2);
    }
}
