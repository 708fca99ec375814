//! The nodes that serve keys. Step 6: all of them must drop what they have in memory below an old root before
//! that root is destroyed.

use async_trait::async_trait;

use super::BatchError;
use crate::directory::Directory;
use crate::page_cache::TreeDelta;
use crate::tree::TreeId;

/// The state after a batch, for a node that serves keys.
pub struct NewState<'a> {
    /// The number of the batch.
    pub sequence: u64,
    /// The directory, with all live versions.
    pub directory: &'a Directory,
    /// The changes of trees. None if everything in memory has to be replaced.
    pub deltas: Option<Vec<TreeDelta>>,
    /// Whether keyspaces, their versions or their settings have changed.
    pub keyspaces_changed: bool,
    /// Trees that were dropped.
    pub dropped: Vec<TreeId>,
}

/// All nodes that hold a lease.
#[async_trait]
pub trait LeaseHolders: Send + Sync {
    /// Returns when each holder serves the new state and has wiped what it had below older roots, or when its
    /// lease has ended.
    ///
    /// # Errors
    /// After an error nothing may be destroyed.
    async fn advance(&self, state: NewState<'_>) -> Result<(), BatchError>;
}
