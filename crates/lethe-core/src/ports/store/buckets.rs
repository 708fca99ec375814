use async_trait::async_trait;

use super::{SignedDestruction, StoreError};
use crate::identity::HsmKeyId;
use crate::ports::SealedSecret;
use crate::time::Expiry;

/// A bucket as the store holds it. While the row lives, `sealed` opens under the HSM key `key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketRow {
    /// The time when the bucket expires, which identifies it.
    pub expiry: Expiry,
    /// The id of the bucket's key X in the HSM.
    pub key: HsmKeyId,
    /// The bucket secret, encrypted under X.
    pub sealed: SealedSecret,
}

/// The signed expiry of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiryRow {
    /// The expiry of the bucket.
    pub expiry: Expiry,
    /// The signed destruction of the bucket's key, which is its only key.
    pub signed: SignedDestruction,
}

/// Buckets, and the signed expiries that they leave.
#[async_trait]
pub trait BucketStore: Send + Sync {
    /// All buckets, soonest expiry first.
    async fn buckets(&self) -> Result<Vec<BucketRow>, StoreError>;

    /// Adds buckets, all or none. [`StoreError::Conflict`] if there is a bucket with one of these
    /// expiries.
    async fn create_buckets(&self, buckets: &[BucketRow]) -> Result<(), StoreError>;

    /// Replaces buckets, all or none. Each item is the key that the row has now, and the new row with
    /// the same expiry. [`StoreError::Conflict`] if a row does not have that key.
    async fn replace_buckets(&self, buckets: &[(HsmKeyId, BucketRow)]) -> Result<(), StoreError>;

    /// Deletes the row of a bucket whose HSM key is destroyed, if there is one, and keeps the signed
    /// statement. A second call with the same key changes nothing.
    async fn finish_bucket(&self, expired: &ExpiryRow) -> Result<(), StoreError>;

    /// Signed expiries after `after`, soonest first, about `limit`: those of one expiry stand
    /// together.
    async fn expiries(&self, after: Expiry, limit: u32) -> Result<Vec<ExpiryRow>, StoreError>;
}
