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

/// Why a call of the store failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store is locked, full, read-only or gone. Nothing was changed, and the call may be tried
    /// again.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// Another process serves this store.
    #[error("the store is in use by another process")]
    InUse,
    /// A newer release made this store, with this schema version.
    #[error("the store is of a newer version ({0}) than this release knows")]
    Newer(i64),
    /// A row has a value that no release of Lethe writes.
    #[error("the store holds what it cannot hold: {0}")]
    Corrupt(String),
    /// Somebody else wrote or changed a row: its table and its key.
    #[error("somebody has altered the store: {0} is not as this service wrote it")]
    Altered(String),
    /// The approval of a batch was withdrawn, has ended, or was given before.
    #[error("the approval does not wait any more")]
    NotWaiting,
    /// Something with this name or key is there already, or what should be there is not.
    #[error("conflict in the store: {0}")]
    Conflict(&'static str),
}

/// What the durability barrier is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// Something is answered or used whose commit was not confirmed: it must outlive the loss of a copy.
    Answered,
    /// Something is destroyed: every copy that could ever be promoted must have what replaces it.
    Destroying,
}

/// The durability of what was written.
#[async_trait]
pub trait Durability: Send + Sync {
    /// The durability barrier. It is called before anything is destroyed, and before anything is used
    /// whose commit was not confirmed. When it returns, everything that anybody has committed is
    /// flushed on as many copies as `strength` says, and a start would find it. It checks this instead
    /// of trusting a setting. After a crash it flushes what may be left in the caches of the system.
    async fn barrier(&self, strength: Strength) -> Result<(), StoreError>;

    /// Confirms that no other process can have served this store when this was called. A node that cannot
    /// confirm it lets its lease end.
    async fn confirm_alone(&self) -> Result<(), StoreError>;
}

/// The store: everything that must outlive the process. Every method is one transaction. When a method
/// that writes returns, the change is flushed, and a start would find it. After an error the change may
/// have been made. Code that destroys something calls [`Durability::barrier`] as well.
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
