//! What one receipt speaks of: a leaf of the batch's Merkle tree.

use super::{Commitment, ErasureId};
use crate::identity::{HsmKeyId, KeyspaceId};
use crate::keyspace::KeyVersion;
use crate::time::{Expiry, Timestamp};

/// An erasure that was accepted and is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The erasure's id.
    pub id: ErasureId,
    /// The keyspace.
    pub keyspace: KeyspaceId,
    /// From when on it was irrevocable, and its keys were refused.
    pub accepted_at: Timestamp,
    /// When the last time limit given out for a plaintext data key can have ended.
    pub leases_end_at: Timestamp,
}

/// One thing that was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// A conversation's keys.
    Shred {
        /// The erasure.
        accepted: Accepted,
        /// To the conversation.
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
        /// Which.
        version: KeyVersion,
    },
    /// A bucket whose time had come.
    BucketExpiry {
        /// Its key in the HSM, destroyed.
        key: HsmKeyId,
        /// Stands in that key's label.
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
