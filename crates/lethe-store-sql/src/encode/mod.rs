//! Types into columns. Every function here fails with [`StoreError::Corrupt`] for a number that a column
//! cannot hold.

mod approvals;
mod erasures;

pub use approvals::{ApprovalColumns, StateColumns, WindowColumns};
pub use erasures::ErasureColumns;

use lethe_core::deployment_key::Column;
use lethe_core::keyspace::Policy;
use lethe_core::ports::{BucketRow, KeyspaceRow, SignedDestruction, SigningPurpose, StoreError};

use crate::row::signed;

/// The settings and times of a keyspace, in the order of the columns.
#[derive(Debug)]
pub struct KeyspaceColumns {
    /// `retention_s`
    pub retention: i64,
    /// `shorter_retentions_s`: 8 bytes each
    pub shorter: Vec<u8>,
    /// `granularity_s`
    pub granularity: i64,
    /// `rotation_ms`
    pub rotation: i64,
    /// `cache_ttl_ms`
    pub cache_ttl: i64,
    /// `leases_until_ms`
    pub leases_until: i64,
    /// `expiries_until_ms`
    pub expiries_until: i64,
    /// `minimum_version`
    pub minimum_version: i64,
}

impl KeyspaceColumns {
    /// # Errors
    /// [`StoreError::Corrupt`]
    pub fn new(keyspace: &KeyspaceRow) -> Result<Self, StoreError> {
        let policy: &Policy = &keyspace.policy;
        let shorter = policy.shorter_retentions();
        Ok(Self {
            retention: signed(policy.retention_seconds(), "keyspace.retention_s")?,
            shorter: shorter
                .flat_map(|it| it.as_seconds().to_be_bytes())
                .collect(),
            granularity: signed(policy.granularity_seconds(), "keyspace.granularity_s")?,
            rotation: signed(policy.rotation().as_millis(), "keyspace.rotation_ms")?,
            cache_ttl: signed(policy.cache_ttl().as_millis(), "keyspace.cache_ttl_ms")?,
            leases_until: signed(
                keyspace.leases_until.as_millis(),
                "keyspace.leases_until_ms",
            )?,
            expiries_until: signed(
                keyspace.expiries_until.as_millis(),
                "keyspace.expiries_until_ms",
            )?,
            minimum_version: keyspace.minimum_version.number().into(),
        })
    }
}

/// The columns of a bucket that are authenticated, after its expiry.
#[must_use]
pub fn bucket_columns(bucket: &BucketRow) -> [Column<'_>; 3] {
    [
        Column::Blob(bucket.key.as_bytes()),
        Column::Blob(&bucket.sealed.iv),
        Column::Blob(&bucket.sealed.ciphertext),
    ]
}

/// The ids of destroyed keys, one after the other.
#[must_use]
pub fn destroyed(destruction: &SignedDestruction) -> Vec<u8> {
    let ids = destruction.destroyed.iter();
    ids.flat_map(|id| *id.as_bytes()).collect()
}

/// The column `signing_key.purpose`.
#[must_use]
pub const fn purpose_number(purpose: SigningPurpose) -> i64 {
    match purpose {
        SigningPurpose::Receipt => 1,
        SigningPurpose::Checkpoint => 2,
    }
}
