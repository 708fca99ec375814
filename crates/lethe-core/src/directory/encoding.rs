//! The plaintext bytes of a directory (`docs/FORMATS.md`). Each directory has one encoding, and no
//! other is accepted.

use zeroize::Zeroizing;

use super::{Commitments, Directory, Entry, InvalidDirectory};
use crate::erasure::ErasureNumber;
use crate::identity::{HsmKeyId, KeyspaceId};
use crate::keyspace::KeyVersion;
use crate::ports::Fulfilled;
use crate::secret::Secret32;
use crate::time::Timestamp;
use crate::tree::{CoverRoot, TopPage};

/// Most bytes of an entry: keyspace id, version, address key, kind of cover, key, count.
const LONGEST_ENTRY: usize = 16 + 4 + 32 + 1 + 32 + 8;
/// Most bytes after the entries.
const LONGEST_COMMITMENTS: usize = 1 + 32 + 8 + 32 + 8 + 8 + 1 + 8 + 8 + 8 + 16;
/// Marks the beginning of the part after the entries.
const COMMITMENTS: u8 = 1;
/// The cover is one seed, nothing forgotten.
const WHOLE: u8 = 0;
/// The cover is paged: the key of the top page, and how many leaves are forgotten.
const PAGED: u8 = 1;

impl Directory {
    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Room for the tag: a growing buffer would leave copies of keys behind.
        let mut page = Zeroizing::new(Vec::with_capacity(
            4 + self.entries.len() * LONGEST_ENTRY + LONGEST_COMMITMENTS + 16,
        ));
        page.extend_from_slice(&(self.entries.len() as u32).to_be_bytes());
        for entry in &self.entries {
            entry.encode_into(&mut page);
        }
        if let Some(commitments) = &self.commitments {
            commitments.encode_into(&mut page);
        }
        page
    }

    pub(super) fn decode(page: &[u8]) -> Result<Self, InvalidDirectory> {
        let (count, mut rest) = page.split_first_chunk().ok_or(InvalidDirectory)?;
        let mut entries: Vec<Entry> = Vec::new();
        for _ in 0..u32::from_be_bytes(*count) {
            let (entry, behind) = Entry::decode(rest).ok_or(InvalidDirectory)?;
            if entries
                .last()
                .is_some_and(|last| last.tree_id() >= entry.tree_id())
            {
                return Err(InvalidDirectory);
            }
            entries.push(entry);
            rest = behind;
        }
        let commitments = match rest {
            // A directory of an earlier release.
            [] => None,
            [COMMITMENTS, rest @ ..] => Some(Commitments::decode(rest).ok_or(InvalidDirectory)?),
            _ => return Err(InvalidDirectory),
        };
        Ok(Self {
            entries,
            commitments,
        })
    }
}

impl Commitments {
    fn encode_into(&self, page: &mut Vec<u8>) {
        page.push(COMMITMENTS);
        page.extend_from_slice(self.secret.expose());
        page.extend_from_slice(&self.fulfilled.number().to_be_bytes());
        page.extend_from_slice(&self.keyspaces);
        let since = self.changing_since.map_or(0, Timestamp::as_millis);
        page.extend_from_slice(&since.to_be_bytes());
        page.extend_from_slice(&self.time.as_millis().to_be_bytes());
        page.push(self.batch.is_some().into());
        if let Some((sequence, batch)) = &self.batch {
            page.extend_from_slice(&sequence.to_be_bytes());
            page.extend_from_slice(&batch.first.number().to_be_bytes());
            page.extend_from_slice(&batch.last.number().to_be_bytes());
            page.extend_from_slice(batch.replaced_root.as_bytes());
        }
    }

    /// All of `bytes`.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (secret, rest) = bytes.split_first_chunk()?;
        let (fulfilled, rest) = rest.split_first_chunk()?;
        let (keyspaces, rest) = rest.split_first_chunk()?;
        let (since, rest) = rest.split_first_chunk()?;
        let (time, rest) = rest.split_first_chunk()?;
        let since = Some(u64::from_be_bytes(*since)).filter(|since| *since > 0);
        Some(Self {
            secret: copied(secret),
            fulfilled: ErasureNumber::new(u64::from_be_bytes(*fulfilled)),
            keyspaces: *keyspaces,
            changing_since: since.map(Timestamp::from_millis),
            time: Timestamp::from_millis(u64::from_be_bytes(*time)),
            batch: decode_batch(rest)?,
        })
    }
}

fn decode_batch(bytes: &[u8]) -> Option<Option<(u64, Fulfilled)>> {
    let rest = match bytes {
        [0] => return Some(None),
        [1, rest @ ..] => rest,
        _ => return None,
    };
    let (sequence, rest) = rest.split_first_chunk()?;
    let (first, rest) = rest.split_first_chunk()?;
    let (last, rest) = rest.split_first_chunk()?;
    let fulfilled = Fulfilled {
        first: ErasureNumber::new(u64::from_be_bytes(*first)),
        last: ErasureNumber::new(u64::from_be_bytes(*last)),
        replaced_root: HsmKeyId::from_bytes(rest.try_into().ok()?),
    };
    Some(Some((u64::from_be_bytes(*sequence), fulfilled)))
}

impl Entry {
    fn encode_into(&self, page: &mut Vec<u8>) {
        page.extend_from_slice(self.keyspace.as_bytes());
        page.extend_from_slice(&self.version.number().to_be_bytes());
        page.extend_from_slice(self.address_key.expose());
        match &self.root {
            CoverRoot::Whole(seed) => {
                page.push(WHOLE);
                page.extend_from_slice(seed.expose());
            }
            CoverRoot::Page(top) => {
                page.push(PAGED);
                page.extend_from_slice(top.key.expose());
                page.extend_from_slice(&top.forgotten.to_be_bytes());
            }
        }
    }

    /// The entry at the beginning of `bytes`, and what is behind it.
    fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (keyspace, rest) = bytes.split_first_chunk()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (address_key, rest) = rest.split_first_chunk()?;
        let (kind, rest) = rest.split_first()?;
        let (key, rest) = rest.split_first_chunk()?;
        let (root, rest) = match *kind {
            WHOLE => (CoverRoot::Whole(copied(key)), rest),
            PAGED => {
                let (forgotten, rest) = rest.split_first_chunk()?;
                let forgotten = u64::from_be_bytes(*forgotten);
                // The entry has the seed of a tree in which nothing is forgotten.
                let key = (forgotten > 0).then(|| copied(key))?;
                (CoverRoot::Page(TopPage { key, forgotten }), rest)
            }
            _ => return None,
        };
        let entry = Self {
            keyspace: KeyspaceId::from_bytes(*keyspace),
            version: KeyVersion::new(u32::from_be_bytes(*version))?,
            address_key: copied(address_key),
            root,
        };
        Some((entry, rest))
    }
}

fn copied(bytes: &[u8; 32]) -> Secret32 {
    Secret32::filled(|secret| secret.copy_from_slice(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strange_pages_are_refused() {
        for (page, what) in [
            (vec![], "empty"),
            (vec![0, 0, 0, 1], "an entry short"),
            (vec![0, 0, 0, 0, 0], "a byte over"),
            ([vec![0, 0, 0, 1], vec![0; 85]].concat(), "version 0"),
            (
                [1_u32.to_be_bytes().to_vec(), bytes_of(1, 2, 0)].concat(),
                "kind 2",
            ),
            (
                [1_u32.to_be_bytes().to_vec(), bytes_of(1, 1, 0)].concat(),
                "paged, nothing forgotten",
            ),
        ] {
            assert!(Directory::decode(&page).is_err(), "{what}");
        }
        let page = |first: u8, second: u8| {
            let entries = [bytes_of(first, 0, 0), bytes_of(second, 1, 1)].concat();
            [2_u32.to_be_bytes().to_vec(), entries].concat()
        };
        assert!(Directory::decode(&page(1, 2)).is_ok());
        assert!(
            Directory::decode(&page(1, 1)).is_err(),
            "the same version twice"
        );
        assert!(Directory::decode(&page(2, 1)).is_err(), "out of order");
    }

    /// An entry of version 1, spelled out.
    fn bytes_of(keyspace: u8, kind: u8, forgotten: u64) -> Vec<u8> {
        let mut bytes = [vec![keyspace; 16], vec![0, 0, 0, 1], vec![7; 32]].concat();
        bytes.push(kind);
        bytes.extend([8; 32]);
        if kind != 0 {
            bytes.extend(forgotten.to_be_bytes());
        }
        bytes
    }

    /// What stands behind the entries, spelled out: nothing, without a batch, with one, or neither.
    fn commitments_of(kind: u8, number: u64) -> Vec<u8> {
        let numbers = |count: usize| number.to_be_bytes().repeat(count);
        let mut bytes = [vec![1], vec![5; 32], numbers(1), vec![6; 32], numbers(2)].concat();
        match kind {
            0 => return Vec::new(),
            1 => bytes.push(0),
            2 => bytes.extend([vec![1], numbers(3), vec![7; 16]].concat()),
            _ => bytes.push(2),
        }
        bytes
    }

    #[test]
    fn what_stands_behind_the_entries_comes_back() {
        for kind in [1, 2] {
            let page = [vec![0; 4], commitments_of(kind, 9)].concat();
            let directory = Directory::decode(&page).unwrap();
            let read = directory.commitments().unwrap();
            assert_eq!(read.fulfilled, ErasureNumber::new(9));
            assert_eq!(read.changing_since, Some(Timestamp::from_millis(9)));
            assert_eq!(read.batch.is_some(), kind == 2);
            for length in 5..page.len() {
                assert!(Directory::decode(&page[..length]).is_err(), "{length}");
            }
            let longer = [page, vec![0]].concat();
            assert!(Directory::decode(&longer).is_err());
        }
        assert!(Directory::decode(&[0, 0, 0, 0, 2]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn a_page_has_one_encoding(
            count in 0_u32..4, kinds: [u8; 3], forgotten: u64, cut in 0_usize..8,
            behind in 0_u8..4, numbers: u64,
        ) {
            let entries = (0..count).map(|n| bytes_of(n as u8, kinds[n as usize] % 3, forgotten));
            let mut page = [vec![0, 0, 0, count as u8], entries.collect::<Vec<_>>().concat()].concat();
            page.extend(commitments_of(behind, numbers));
            page.truncate(page.len() - page.len().min(cut));
            if let Ok(directory) = Directory::decode(&page) {
                proptest::prop_assert_eq!(&directory.encode()[..], &page[..]);
            }
        }
    }
}
