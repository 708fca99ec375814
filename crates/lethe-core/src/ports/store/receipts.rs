use async_trait::async_trait;

use super::{Fulfilled, StoreError};
use crate::erasure::ErasureNumber;
use crate::identity::HsmKeyId;
use crate::time::Timestamp;

/// The result of a destruction in the HSM, and its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedDestruction {
    /// When the HSM had confirmed the destruction.
    pub destroyed_at: Timestamp,
    /// The ids of the HSM keys that were destroyed.
    pub destroyed: Vec<HsmKeyId>,
    /// The id of the key that signed.
    pub signing_key: HsmKeyId,
    /// The Ed25519 signature.
    pub signature: [u8; 64],
}

/// A batch of erasures as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRow {
    /// The sequence of the batch.
    pub sequence: u64,
    /// The erasures that the batch fulfilled.
    pub fulfilled: Fulfilled,
    /// None until the destruction is confirmed and signed.
    pub signed: Option<SignedDestruction>,
}

/// Batches of erasures, and the signatures in their receipts.
#[async_trait]
pub trait ReceiptStore: Send + Sync {
    /// The batch that fulfilled an erasure.
    async fn batch_of(&self, number: ErasureNumber) -> Result<Option<BatchRow>, StoreError>;

    /// Batches without a signature, oldest first.
    async fn unsigned_batches(&self) -> Result<Vec<BatchRow>, StoreError>;

    /// Adds the signature to a batch.
    async fn sign_batch(&self, sequence: u64, signed: &SignedDestruction)
    -> Result<(), StoreError>;

    /// Deletes some erasures and expiries that were done before a time. False if none is left.
    async fn forget_receipts(&self, before: Timestamp) -> Result<bool, StoreError>;
}
