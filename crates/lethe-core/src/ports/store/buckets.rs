use async_trait::async_trait;

use super::{SignedDestruction, StoreError};
use crate::identity::HsmKeyId;
use crate::ports::SealedSecret;
use crate::time::Expiry;

/// A bucket as the store holds it. While the row lives, `sealed` opens under the HSM key `key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketRow {
    /// Names the bucket.
    pub expiry: Expiry,
    /// Its key X in the HSM.
    pub key: HsmKeyId,
    /// The bucket secret under X.
    pub sealed: SealedSecret,
}

/// The signed expiry of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiryRow {
    /// The bucket.
    pub expiry: Expiry,
    /// Names one key alone.
    pub signed: SignedDestruction,
}

/// Buckets, and the signed expiries that they leave.
#[async_trait]
pub trait BucketStore: Send + Sync {
    /// All buckets, soonest expiry first.
    async fn buckets(&self) -> Result<Vec<BucketRow>, StoreError>;

    /// Adds buckets, all or none; [`StoreError::Conflict`] when one of that expiry is there.
    async fn create_buckets(&self, buckets: &[BucketRow]) -> Result<(), StoreError>;

    /// Replaces buckets, all or none: each row's key before, and the row of the same expiry that
    /// takes its place. [`StoreError::Conflict`] when a row is not there with that key.
    async fn replace_buckets(&self, buckets: &[(HsmKeyId, BucketRow)]) -> Result<(), StoreError>;

    /// Deletes the row of a bucket whose HSM key is destroyed, if there is one, and keeps the
    /// signed word of it. The same key again changes nothing.
    async fn finish_bucket(&self, expired: &ExpiryRow) -> Result<(), StoreError>;

    /// Signed expiries after `after`, soonest first, about `limit`: those of one expiry stand
    /// together.
    async fn expiries(&self, after: Expiry, limit: u32) -> Result<Vec<ExpiryRow>, StoreError>;
}
