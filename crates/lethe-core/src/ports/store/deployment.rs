use async_trait::async_trait;

use super::StoreError;
use crate::claim::StoreLocation;
use crate::deployment_key::DeploymentKey;
use crate::identity::{ClaimNonce, DeploymentId, StoreId};

/// What the claim has to say for this copy of the store to be the one that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// Drawn once; copies share it.
    pub store: StoreId,
    /// The claim's, as the last start or stop left it.
    pub nonce: ClaimNonce,
    /// What a start or a stop that was cut off may have given the claim.
    pub next: Option<ClaimNonce>,
}

/// Which deployment the store belongs to, and where it is.
#[async_trait]
pub trait DeploymentStore: Send + Sync {
    /// The deployment's id, once set.
    async fn deployment(&self) -> Result<Option<DeploymentId>, StoreError>;

    /// Sets the deployment's id, once: [`StoreError::Conflict`] when there is another.
    async fn set_deployment(&self, id: DeploymentId) -> Result<(), StoreError>;

    /// From now on rows are written with their MACs, and checked before they are used; those that
    /// were used before are checked here. The same key again only checks these again.
    /// [`StoreError::Altered`] for a row that somebody else wrote or changed.
    async fn authenticate(&self, key: &DeploymentKey) -> Result<(), StoreError>;

    /// The first row that was found altered, whoever had asked for it.
    fn altered(&self) -> Option<&str>;

    /// Where this store is.
    fn location(&self) -> &StoreLocation;

    /// Its seat; none before the first start.
    async fn seat(&self) -> Result<Option<Seat>, StoreError>;

    /// Replaces its seat.
    async fn set_seat(&self, seat: &Seat) -> Result<(), StoreError>;
}
