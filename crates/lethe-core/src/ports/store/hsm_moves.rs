use async_trait::async_trait;

use super::StoreError;
use crate::succession::PublishedKey;

/// How far a move to another HSM is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HsmMove {
    /// The move is under way: keys may be in both HSMs.
    UnderWay,
    /// The old HSM has no key any more, at most the claim.
    Emptied,
}

/// The move to another HSM, and the keys that are published because of it.
#[async_trait]
pub trait HsmMoveStore: Send + Sync {
    /// The verification keys since the deployment first moved to another HSM, in order of succession.
    /// Empty before.
    async fn signing_keys(&self) -> Result<Vec<PublishedKey>, StoreError>;

    /// The move to another HSM that is under way, if one is.
    async fn hsm_move(&self) -> Result<Option<HsmMove>, StoreError>;

    /// Writes down that a move begins, and the keys that are published from now on. Keys that are there
    /// stay. [`StoreError::Conflict`] if a move is under way.
    async fn begin_hsm_move(&self, keys: &[PublishedKey]) -> Result<(), StoreError>;

    /// Writes down that the old HSM has no key any more.
    async fn hsm_is_emptied(&self) -> Result<(), StoreError>;

    /// Writes down that the move is done. Nothing changes if none is under way.
    async fn finish_hsm_move(&self) -> Result<(), StoreError>;
}
