//! Erasures: a shred, the erase of a keyspace, or the drop of a key version. An accepted erasure is never taken
//! back. It holds no conversation id.

use crate::grid::Generation;
use crate::identity::KeyspaceId;
use crate::keyspace::{KeyVersion, KeyspaceName};
use crate::receipt::{Accepted, Commitment, ErasureId, Item, ShreddedKey};
use crate::time::Timestamp;
use crate::tree::{Address, LeafId, TreeId};

/// The place of an erasure in the order of acceptance, from 1.
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

/// Shows whether an id that is sent again is for the same conversation: the first 16 bytes of an HMAC over id
/// and conversation; see [`crate::deployment_key::DeploymentKey::idempotency_tag`].
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

/// A leaf that a shred destroys, in one key version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShredLeaf {
    /// The key version.
    pub version: KeyVersion,
    /// The generation of the conversation in that version.
    pub generation: Generation,
    /// The address of the leaf in the tree.
    pub address: Address,
}

/// What an erasure destroys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErasureKind {
    /// The current generation of a conversation in each live key version.
    Shred {
        /// Recognizes the conversation when the id is sent again.
        tag: IdempotencyTag,
        /// The commitment to the conversation, for the receipt.
        commitment: Commitment,
        /// One for each version that was live at the acceptance, ascending.
        leaves: Vec<ShredLeaf>,
    },
    /// All versions of a keyspace. Its name is kept here for answers after it is erased.
    EraseKeyspace(KeyspaceName),
    /// An old key version.
    DropVersion(KeyVersion),
}

/// An erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Its id, chosen by the caller or drawn by the service.
    pub id: ErasureId,
    /// The keyspace.
    pub keyspace: KeyspaceId,
    /// Its keys are refused from this time on.
    pub accepted_at: Timestamp,
    /// The latest `cache_until` of any key that it destroys.
    pub leases_end_at: Timestamp,
    /// What it destroys.
    pub kind: ErasureKind,
}

/// An erasure that is accepted, with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedErasure {
    /// Its number.
    pub number: ErasureNumber,
    /// The erasure.
    pub erasure: Erasure,
}

impl Erasure {
    /// The item of its receipt.
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

    /// The leaves of a shred; empty for the other kinds.
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

    /// The keys of a shred, as its opening lists them; empty for the other kinds.
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
