use async_trait::async_trait;

mod batches;
mod buckets;
mod clock;
mod deployment;
mod erasures;
mod hsm_moves;
mod keyspaces;
mod receipts;
mod trees;

pub use batches::{BatchCommit, BatchStore, Fulfilled, MetaRow, RootShare};
pub use buckets::{BucketRow, BucketStore, ExpiryRow};
pub use clock::ClockStore;
pub use deployment::{DeploymentStore, Seat};
pub use erasures::ErasureStore;
pub use hsm_moves::{HsmMove, HsmMoveStore};
pub use keyspaces::{KeyspaceChange, KeyspaceRow, KeyspaceStore, VersionRow};
pub use receipts::{BatchRow, ReceiptStore, SignedDestruction};
pub use trees::{TreeChange, TreeStore};

/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Locked, full, read-only or gone: nothing was changed, the call may be tried again.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// Another process serves this store.
    #[error("the store is in use by another process")]
    InUse,
    /// Made by a newer release.
    #[error("the store is of a newer version ({0}) than this release knows")]
    Newer(i64),
    /// A row that no release of ours wrote.
    #[error("the store holds what it cannot hold: {0}")]
    Corrupt(String),
    /// A row that somebody else wrote or changed: its table and its key.
    #[error("somebody has altered the store: {0} is not as this service wrote it")]
    Altered(String),
    /// The approval of a batch was withdrawn, has ended, or was given before.
    #[error("the approval does not wait any more")]
    NotWaiting,
    /// Something of this name, or in this place, is there already.
    #[error("conflict in the store: {0}")]
    Conflict(&'static str),
}

/// Whether what was written can still be lost.
#[async_trait]
pub trait Durability: Send + Sync {
    /// The durability barrier, before anything is destroyed and before anything is used that no
    /// answer vouches for: everything committed so far, by whoever, is flushed to every copy that
    /// could ever be promoted, and a start would find it. Looks for itself instead of trusting a
    /// setting; after a crash it flushes what the crash may have left in the caches of the system.
    async fn barrier(&self) -> Result<(), StoreError>;
}

/// What must outlive the process. Every method is one transaction. When one that writes answers, the
/// change is flushed, and a start would find it: what is answered or used needs nothing more, and
/// nothing is written where a start would not look. An error may hide a change that was made.
/// What destroys passes [`Durability::barrier`] as well.
pub trait Store:
    DeploymentStore
    + KeyspaceStore
    + BatchStore
    + TreeStore
    + ErasureStore
    + ReceiptStore
    + BucketStore
    + HsmMoveStore
    + ClockStore
    + Durability
{
}

impl<T> Store for T where
    T: DeploymentStore
        + KeyspaceStore
        + BatchStore
        + TreeStore
        + ErasureStore
        + ReceiptStore
        + BucketStore
        + HsmMoveStore
        + ClockStore
        + Durability
{
}
