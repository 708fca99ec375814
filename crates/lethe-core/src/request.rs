//! Requests to forget: a shred, the erase of a keyspace, the drop of a version. Once accepted, a
//! request is never taken back; it holds no conversation id.

use crate::grid::Generation;
use crate::identity::KeyspaceId;
use crate::keyspace::{KeyVersion, KeyspaceName};
use crate::receipt::{Accepted, Commitment, Item, RequestId, ShreddedKey};
use crate::time::Timestamp;
use crate::tree::{Address, LeafId, TreeId};

/// Place in the order of acceptance, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestNumber(u64);

impl RequestNumber {
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

/// Tells whether a request id comes again with the same conversation: first 16 bytes of an HMAC
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
pub enum Wish {
    /// A conversation's present generation in each live version.
    Shred {
        /// For the same id sent again.
        tag: IdempotencyTag,
        /// To the conversation, for the receipt.
        commitment: Commitment,
        /// One for each version that lived at acceptance, ascending.
        leaves: Vec<ShredLeaf>,
    },
    /// All versions of the keyspace; its name, which answers to questions about the request still
    /// bear when it is gone.
    EraseKeyspace(KeyspaceName),
    /// An old version.
    DropVersion(KeyVersion),
}

/// A request as it is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Chosen by the caller, or drawn for him.
    pub id: RequestId,
    /// The keyspace.
    pub keyspace: KeyspaceId,
    /// From when on its keys are refused.
    pub accepted_at: Timestamp,
    /// When the last `cache_until` given out can have ended.
    pub leases_end_at: Timestamp,
    /// What.
    pub wish: Wish,
}

/// A request with its place in the order of acceptance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedRequest {
    /// Its place.
    pub number: RequestNumber,
    /// The request.
    pub request: Request,
}

impl Request {
    /// What its receipt speaks of.
    #[must_use]
    pub const fn item(&self) -> Item {
        let accepted = Accepted {
            id: self.id,
            keyspace: self.keyspace,
            accepted_at: self.accepted_at,
            leases_end_at: self.leases_end_at,
        };
        match &self.wish {
            Wish::Shred { commitment, .. } => Item::Shred {
                accepted,
                commitment: *commitment,
            },
            Wish::EraseKeyspace(_) => Item::KeyspaceErase { accepted },
            Wish::DropVersion(version) => Item::VersionDrop {
                accepted,
                version: *version,
            },
        }
    }

    /// The leaves of a shred; none of the others.
    pub fn leaves(&self) -> impl Iterator<Item = LeafId> {
        let leaves = match &self.wish {
            Wish::Shred { leaves, .. } => leaves.as_slice(),
            Wish::EraseKeyspace(_) | Wish::DropVersion(_) => &[],
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
        let Wish::Shred { leaves, .. } = &self.wish else {
            return Vec::new();
        };
        let key = |leaf: &ShredLeaf| ShreddedKey {
            version: leaf.version,
            generation: leaf.generation,
        };
        leaves.iter().map(key).collect()
    }
}
