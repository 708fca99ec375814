use async_trait::async_trait;

use super::{Fulfilled, StoreError};
use crate::erasure::ErasureNumber;
use crate::identity::HsmKeyId;
use crate::time::Timestamp;

/// What became true when the HSM had destroyed what it should, and its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedDestruction {
    /// When the HSM had confirmed it.
    pub destroyed_at: Timestamp,
    /// The HSM keys that are gone.
    pub destroyed: Vec<HsmKeyId>,
    /// The key that signed.
    pub signing_key: HsmKeyId,
    /// Ed25519.
    pub signature: [u8; 64],
}

/// A batch of erasures as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRow {
    /// Its sequence.
    pub sequence: u64,
    /// Its erasures.
    pub fulfilled: Fulfilled,
    /// None until the destruction is confirmed and signed.
    pub signed: Option<SignedDestruction>,
}

/// Batches of erasures, and the signatures that receipts show.
#[async_trait]
pub trait ReceiptStore: Send + Sync {
    /// The batch that fulfilled an erasure.
    async fn batch_of(&self, number: ErasureNumber) -> Result<Option<BatchRow>, StoreError>;

    /// Batches without a signature, oldest first.
    async fn unsigned_batches(&self) -> Result<Vec<BatchRow>, StoreError>;

    /// Adds the signature to a batch.
    async fn sign_batch(&self, sequence: u64, signed: &SignedDestruction)
    -> Result<(), StoreError>;

    /// Deletes some erasures and expiries that were done before a time; false when none is left.
    async fn forget_receipts(&self, before: Timestamp) -> Result<bool, StoreError>;
}
