//! The directory: the address key and the cover of every live key version of every keyspace, as
//! one page sealed under a single-use key, which stands under the HSM's root. DESIGN section 5.
//!
//! Byte layout in `docs/FORMATS.md`.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::identity::{DeploymentId, HsmKeyId, KeyspaceId};
use crate::keyspace::KeyVersion;
use crate::secret::Secret32;

/// Bytes of an entry: keyspace id, version, address key, kind of cover, seed.
const ENTRY: usize = 16 + 4 + 32 + 1 + 32;
/// The cover is one seed, nothing forgotten.
const WHOLE: u8 = 0;

/// One key version's secrets.
pub struct Entry {
    /// The keyspace, for its whole life.
    pub keyspace: KeyspaceId,
    /// The version.
    pub version: KeyVersion,
    /// Turns conversations into addresses.
    pub address_key: Secret32,
    /// The tree's own seed.
    pub seed: Secret32,
}

/// All live key versions, ascending by keyspace and version.
#[derive(Default)]
pub struct Directory {
    entries: Vec<Entry>,
}

/// A directory that does not open, or that no release of ours wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the directory does not open")]
pub struct InvalidDirectory;

impl Directory {
    /// The entries.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds or replaces a version.
    pub fn insert(&mut self, entry: Entry) {
        match self.position(entry.keyspace, entry.version) {
            Ok(index) => self.entries[index] = entry,
            Err(index) => self.entries.insert(index, entry),
        }
    }

    /// Drops a version: its tree is forgotten whole once the root is replaced. False when there
    /// was none.
    pub fn remove(&mut self, keyspace: KeyspaceId, version: KeyVersion) -> bool {
        let found = self.position(keyspace, version);
        found.map(|index| self.entries.remove(index)).is_ok()
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
        let tag = cipher(key)
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
    /// [`InvalidDirectory`] when key, deployment or sequence are others, or the bytes altered.
    pub fn open(
        sealed: &[u8],
        key: &Secret32,
        deployment: DeploymentId,
        sequence: u64,
    ) -> Result<Self, InvalidDirectory> {
        let mut page = Zeroizing::new(sealed.to_vec());
        let clear = cipher(key)
            .open_in_place(
                zero_nonce(),
                Aad::from(page_aad(deployment, sequence)),
                &mut page,
            )
            .map_err(|_| InvalidDirectory)?;
        Self::decode(clear)
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Room for the tag: a growing buffer would leave copies of keys behind.
        let mut page = Zeroizing::new(Vec::with_capacity(4 + self.entries.len() * ENTRY + 16));
        page.extend_from_slice(&(self.entries.len() as u32).to_be_bytes());
        for entry in &self.entries {
            page.extend_from_slice(entry.keyspace.as_bytes());
            page.extend_from_slice(&entry.version.number().to_be_bytes());
            page.extend_from_slice(entry.address_key.expose());
            page.push(WHOLE);
            page.extend_from_slice(entry.seed.expose());
        }
        page
    }

    fn decode(page: &[u8]) -> Result<Self, InvalidDirectory> {
        let (count, body) = page.split_first_chunk().ok_or(InvalidDirectory)?;
        let (chunks, rest) = body.as_chunks::<ENTRY>();
        if u32::from_be_bytes(*count) as usize != chunks.len() || !rest.is_empty() {
            return Err(InvalidDirectory);
        }
        let entries = chunks
            .iter()
            .map(decode_entry)
            .collect::<Option<Vec<_>>>()
            .ok_or(InvalidDirectory)?;
        let ascending = entries
            .windows(2)
            .all(|pair| (pair[0].keyspace, pair[0].version) < (pair[1].keyspace, pair[1].version));
        if ascending {
            Ok(Self { entries })
        } else {
            Err(InvalidDirectory)
        }
    }
}

fn decode_entry(bytes: &[u8; ENTRY]) -> Option<Entry> {
    let (keyspace, rest) = bytes.split_first_chunk()?;
    let (version, rest) = rest.split_first_chunk()?;
    let (address_key, rest) = rest.split_first_chunk::<32>()?;
    let (kind, seed) = rest.split_first()?;
    let seed = seed.first_chunk::<32>().filter(|_| *kind == WHOLE)?;
    Some(Entry {
        keyspace: KeyspaceId::from_bytes(*keyspace),
        version: KeyVersion::new(u32::from_be_bytes(*version))?,
        address_key: Secret32::filled(|bytes| bytes.copy_from_slice(address_key)),
        seed: Secret32::filled(|bytes| bytes.copy_from_slice(seed)),
    })
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

fn cipher(key: &Secret32) -> LessSafeKey {
    LessSafeKey::new(
        UnboundKey::new(&AES_256_GCM, key.expose()).expect("32 bytes are a key of AES-256"),
    )
}

fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

#[cfg(test)]
mod tests {
    use super::*;

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
            seed: secret(2),
        }
    }

    fn directory() -> Directory {
        let mut directory = Directory::default();
        for (keyspace, version) in [(2, 1), (1, 2), (1, 1)] {
            directory.insert(entry(keyspace, version));
        }
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
        assert!(opened.entries()[0].seed.same_as(&secret(2)));
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
    fn strange_pages_are_refused() {
        for (page, what) in [
            (vec![], "empty"),
            (vec![0, 0, 0, 1], "an entry short"),
            (vec![0, 0, 0, 0, 0], "a byte over"),
            ([vec![0, 0, 0, 1], vec![0; ENTRY]].concat(), "version 0"),
        ] {
            assert!(Directory::decode(&page).is_err(), "{what}");
        }
        let twice = directory().encode();
        let doubled = [&[0, 0, 0, 2], &twice[4..4 + ENTRY], &twice[4..4 + ENTRY]].concat();
        assert!(
            Directory::decode(&doubled).is_err(),
            "the same version twice"
        );
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
