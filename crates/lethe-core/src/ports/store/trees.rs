use async_trait::async_trait;

use super::StoreError;
use crate::tree::{Prefix, Row, SealedPage, SealedTail, TailId, TreeId};

/// What a batch changes in the rows of one tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeChange {
    /// The tree that changes. Its version is live.
    pub tree: TreeId,
    /// Rows of pages: each replaces the row with its prefix, or is new.
    pub pages: Vec<SealedPage>,
    /// Rows of tails to insert.
    pub tails: Vec<SealedTail>,
    /// Row ids of tails to delete.
    pub superseded: Vec<TailId>,
    /// The first row id of tails that is free after this change.
    pub next_tail: TailId,
}

/// Rows of the trees. Batches change them.
#[async_trait]
pub trait TreeStore: Send + Sync {
    /// The bytes of the rows, in the order of the argument; none for a row that does not exist.
    async fn tree_rows(
        &self,
        tree: TreeId,
        rows: &[(Prefix, Row)],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// The first row id of tails that is free in a live tree.
    async fn next_tail(&self, tree: TreeId) -> Result<TailId, StoreError>;

    /// Deletes some rows of trees that were dropped. False if none is left.
    async fn sweep_dropped_trees(&self) -> Result<bool, StoreError>;
}
