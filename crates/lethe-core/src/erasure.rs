//! Erasures: a shred, the erase of a keyspace, the drop of a version. Once accepted, an
//! erasure is never taken back; it holds no conversation id.

use crate::grid::Generation;
use crate::identity::KeyspaceId;
use crate::keyspace::{KeyVersion, KeyspaceName};
use crate::receipt::{Accepted, Commitment, ErasureId, Item, ShreddedKey};
use crate::time::Timestamp;
use crate::tree::{Address, LeafId, TreeId};

/// Place in the order of acceptance, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErasureNumber(u64);

impl ErasureNumber {
    /// From its number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// Tells whether an erasure id comes again with the same conversation: first 16 bytes of an HMAC
/// under the address key of the newest version at the time; see
/// [`crate::tree::AddressKey::idempotency_tag`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotencyTag([u8; 16]);

impl IdempotencyTag {
    /// From its 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// A leaf that a shred forgets, in one live version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShredLeaf {
    /// Of which version.
    pub version: KeyVersion,
    /// Of the conversation, in that version.
    pub generation: Generation,
    /// Where it stands.
    pub address: Address,
}

/// What is to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErasureKind {
    /// A conversation's present generation in each live version.
    Shred {
        /// For the same id sent again.
        tag: IdempotencyTag,
        /// To the conversation, for the receipt.
        commitment: Commitment,
        /// One for each version that lived at acceptance, ascending.
        leaves: Vec<ShredLeaf>,
    },
    /// All versions of the keyspace; its name, which answers to questions about the erasure still
    /// bear when it is gone.
    EraseKeyspace(KeyspaceName),
    /// An old version.
    DropVersion(KeyVersion),
}

/// An erasure as it is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Chosen by the caller, or drawn for him.
    pub id: ErasureId,
    /// The keyspace.
    pub keyspace: KeyspaceId,
    /// From when on its keys are refused.
    pub accepted_at: Timestamp,
    /// When the last `cache_until` given out can have ended.
    pub leases_end_at: Timestamp,
    /// What.
    pub kind: ErasureKind,
}

/// An erasure with its place in the order of acceptance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedErasure {
    /// Its place.
    pub number: ErasureNumber,
    /// The erasure.
    pub erasure: Erasure,
}

impl Erasure {
    /// What its receipt speaks of.
    #[must_use]
    pub const fn item(&self) -> Item {
        let accepted = Accepted {
            id: self.id,
            keyspace: self.keyspace,
            accepted_at: self.accepted_at,
            leases_end_at: self.leases_end_at,
        };
        match &self.kind {
            ErasureKind::Shred { commitment, .. } => Item::Shred {
                accepted,
                commitment: *commitment,
            },
            ErasureKind::EraseKeyspace(_) => Item::KeyspaceErase { accepted },
            ErasureKind::DropVersion(version) => Item::VersionDrop {
                accepted,
                version: *version,
            },
        }
    }

    /// The leaves of a shred; none of the others.
    pub fn leaves(&self) -> impl Iterator<Item = LeafId> {
        let leaves = match &self.kind {
            ErasureKind::Shred { leaves, .. } => leaves.as_slice(),
            ErasureKind::EraseKeyspace(_) | ErasureKind::DropVersion(_) => &[],
        };
        leaves.iter().map(|leaf| LeafId {
            tree: TreeId {
                keyspace: self.keyspace,
                version: leaf.version,
            },
            address: leaf.address,
        })
    }

    /// The keys of a shred, as its opening lists them.
    #[must_use]
    pub fn shredded_keys(&self) -> Vec<ShreddedKey> {
        let ErasureKind::Shred { leaves, .. } = &self.kind else {
            return Vec::new();
        };
        let key = |leaf: &ShredLeaf| ShreddedKey {
            version: leaf.version,
            generation: leaf.generation,
        };
        leaves.iter().map(key).collect()
    }
}
