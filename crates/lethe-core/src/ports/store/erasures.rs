use async_trait::async_trait;

use super::StoreError;
use crate::erasure::{AcceptedErasure, Erasure, ErasureNumber};
use crate::identity::KeyspaceId;
use crate::keyspace::KeyspaceName;
use crate::receipt::ErasureId;

/// Accepted erasures.
#[async_trait]
pub trait ErasureStore: Send + Sync {
    /// Writes erasures, all or none, and numbers them in order. Returns the first number.
    /// [`StoreError::Conflict`] when one of their ids is there already.
    async fn accept(&self, erasures: &[Erasure]) -> Result<ErasureNumber, StoreError>;

    /// The erasures with these ids that exist, in no order.
    async fn erasures_by_id(&self, ids: &[ErasureId]) -> Result<Vec<AcceptedErasure>, StoreError>;

    /// Erasures from `first` to `last`, in order.
    async fn erasures(
        &self,
        first: ErasureNumber,
        last: ErasureNumber,
    ) -> Result<Vec<AcceptedErasure>, StoreError>;

    /// The accepted erase of the keyspace with this name and id; none if there is none.
    async fn erase_of(
        &self,
        name: &KeyspaceName,
        id: KeyspaceId,
    ) -> Result<Option<ErasureId>, StoreError>;

    /// All erasures after `fulfilled`, in order.
    async fn open_erasures(
        &self,
        fulfilled: ErasureNumber,
    ) -> Result<Vec<AcceptedErasure>, StoreError>;
}
