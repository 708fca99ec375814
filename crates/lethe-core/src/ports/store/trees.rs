use async_trait::async_trait;

use super::StoreError;
use crate::tree::{Prefix, Row, SealedPage, SealedTail, TailId, TreeId};

/// What a batch changes in the rows of one tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeChange {
    /// The tree; it lives.
    pub tree: TreeId,
    /// Each replaces the row of its prefix, or is new.
    pub pages: Vec<SealedPage>,
    /// New rows.
    pub tails: Vec<SealedTail>,
    /// Rows that go.
    pub superseded: Vec<TailId>,
    /// The first row id that is free then.
    pub next_tail: TailId,
}

/// Rows of the trees. Batches change them.
#[async_trait]
pub trait TreeStore: Send + Sync {
    /// The bytes of rows of a tree, in the order asked for, each none when there is no such row.
    async fn tree_rows(
        &self,
        tree: TreeId,
        rows: &[(Prefix, Row)],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// The first row id of tails that is free in a live tree.
    async fn next_tail(&self, tree: TreeId) -> Result<TailId, StoreError>;

    /// Deletes some rows of trees that were dropped; false when none is left.
    async fn sweep_dropped_trees(&self) -> Result<bool, StoreError>;
}
