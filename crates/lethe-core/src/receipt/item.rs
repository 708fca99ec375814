//! The item of a receipt: one leaf of the Merkle tree of a batch.

use super::{Commitment, ErasureId};
use crate::identity::{HsmKeyId, KeyspaceId};
use crate::keyspace::KeyVersion;
use crate::time::{Expiry, Timestamp};

/// The part of an item that all erasures have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The id of the erasure.
    pub id: ErasureId,
    /// The keyspace.
    pub keyspace: KeyspaceId,
    /// When the erasure was accepted: from then on its keys were refused.
    pub accepted_at: Timestamp,
    /// The latest `cache_until` of any key that it destroyed.
    pub leases_end_at: Timestamp,
}

/// What was destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// The keys of a conversation.
    Shred {
        /// The erasure.
        accepted: Accepted,
        /// The commitment to the conversation.
        commitment: Commitment,
    },
    /// A keyspace with all its versions.
    KeyspaceErase {
        /// The erasure.
        accepted: Accepted,
    },
    /// A key version.
    VersionDrop {
        /// The erasure.
        accepted: Accepted,
        /// The version.
        version: KeyVersion,
    },
    /// A bucket that has expired.
    BucketExpiry {
        /// The key of the bucket in the HSM.
        key: HsmKeyId,
        /// The expiry, which is in the label of that key.
        expiry: Expiry,
    },
}

impl Item {
    /// Kind (1), then the fields, each of fixed length.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(96);
        match self {
            Self::Shred {
                accepted,
                commitment,
            } => {
                accepted.write(1, &mut bytes);
                bytes.extend_from_slice(commitment.as_bytes());
            }
            Self::KeyspaceErase { accepted } => accepted.write(2, &mut bytes),
            Self::VersionDrop { accepted, version } => {
                accepted.write(3, &mut bytes);
                bytes.extend_from_slice(&version.number().to_be_bytes());
            }
            Self::BucketExpiry { key, expiry } => {
                bytes.push(4);
                bytes.extend_from_slice(key.as_bytes());
                bytes.extend_from_slice(&expiry.as_seconds().to_be_bytes());
            }
        }
        bytes
    }
}

impl Accepted {
    fn write(&self, kind: u8, bytes: &mut Vec<u8>) {
        bytes.push(kind);
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(self.keyspace.as_bytes());
        bytes.extend_from_slice(&self.accepted_at.as_millis().to_be_bytes());
        bytes.extend_from_slice(&self.leases_end_at.as_millis().to_be_bytes());
    }
}
