//! Who serves keys: all of them must have dropped what they cached below an old root before it
//! is destroyed (step 6).

use async_trait::async_trait;

use super::BatchError;
use crate::directory::Directory;
use crate::page_cache::TreeDelta;
use crate::tree::TreeId;

/// The state after a batch, as a node that serves keys needs it.
pub struct NewState<'a> {
    /// Sequence of the batch.
    pub sequence: u64,
    /// All live versions.
    pub directory: &'a Directory,
    /// What trees have forgotten; none when nothing known before can be relied on.
    pub deltas: Option<Vec<TreeDelta>>,
    /// Keyspaces, their versions or settings are others.
    pub keyspaces_changed: bool,
    /// Trees that are no more.
    pub dropped: Vec<TreeId>,
}

/// Everybody who holds a lease.
#[async_trait]
pub trait LeaseHolders: Send + Sync {
    /// Answers when every holder serves the new state and has dropped and wiped what it had below
    /// older roots, or its lease has lapsed.
    ///
    /// # Errors
    /// Nothing may be destroyed then.
    async fn advance(&self, state: NewState<'_>) -> Result<(), BatchError>;
}
