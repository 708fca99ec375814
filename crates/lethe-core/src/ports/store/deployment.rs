use async_trait::async_trait;

use super::StoreError;
use crate::claim::StoreLocation;
use crate::deployment_key::DeploymentKey;
use crate::identity::{ClaimNonce, DeploymentId, StoreId};

/// What the claim in the HSM must contain so that this copy of the store may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// The id of the store: random, drawn once. Copies of the store share it.
    pub store: StoreId,
    /// The nonce of the claim that the last start or stop of the service wrote.
    pub nonce: ClaimNonce,
    /// The nonce that an interrupted start or stop may have written into the claim.
    pub next: Option<ClaimNonce>,
}

/// Which deployment the store belongs to, and where it is.
#[async_trait]
pub trait DeploymentStore: Send + Sync {
    /// The deployment's id; none before it is set.
    async fn deployment(&self) -> Result<Option<DeploymentId>, StoreError>;

    /// Sets the deployment's id. [`StoreError::Conflict`] if there is another one.
    async fn set_deployment(&self, id: DeploymentId) -> Result<(), StoreError>;

    /// From now on rows are written with their MACs, and are checked before they are used. Rows that
    /// were used before are checked by this call. A second call with the same key only checks these
    /// again.
    /// [`StoreError::Altered`] for a row that somebody else wrote or changed.
    async fn authenticate(&self, key: &DeploymentKey) -> Result<(), StoreError>;

    /// The first row that any call found altered.
    fn altered(&self) -> Option<&str>;

    /// Where this store is.
    fn location(&self) -> &StoreLocation;

    /// The seat of this store; none before the first start.
    async fn seat(&self) -> Result<Option<Seat>, StoreError>;

    /// Replaces the seat of this store.
    async fn set_seat(&self, seat: &Seat) -> Result<(), StoreError>;
}
