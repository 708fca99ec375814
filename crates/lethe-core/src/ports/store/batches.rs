use async_trait::async_trait;

use super::{KeyspaceChange, StoreError, TreeChange};
use crate::approval::ApprovalDecision;
use crate::clock::Mark;
use crate::deployment_key::DeploymentKey;
use crate::erasure::ErasureNumber;
use crate::identity::{DeploymentId, HsmKeyId};
use crate::ports::{HsmKey, KeyLabel, SealedSecret};

/// The directory key, encrypted by the root of one HSM. One share is enough to open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootShare {
    /// The id of the root in the HSM.
    pub root: HsmKeyId,
    /// The directory key, encrypted under that root.
    pub sealed: SealedSecret,
}

/// The meta row: the only place that says which root is the present one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaRow {
    /// The number of the batch that wrote the row, from 1.
    pub sequence: u64,
    /// The epoch of the leader that wrote the row.
    pub epoch: u64,
    /// The directory key, encrypted under a root.
    pub share: RootShare,
    /// The directory, encrypted under the directory key.
    pub directory: Vec<u8>,
}

impl MetaRow {
    /// The root that encrypts the directory key, with its label in the HSM.
    #[must_use]
    pub const fn root(&self, deployment: DeploymentId) -> HsmKey {
        HsmKey {
            id: self.share.root,
            label: KeyLabel::Root {
                deployment,
                sequence: self.sequence,
                epoch: self.epoch,
            },
        }
    }
}

/// Which accepted erasures a batch fulfils: all from `first` to `last`, in order of acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fulfilled {
    /// The number of the first erasure.
    pub first: ErasureNumber,
    /// The number of the last erasure.
    pub last: ErasureNumber,
    /// The root that the batch replaces, and that is destroyed.
    pub replaced_root: HsmKeyId,
}

/// What one batch writes, in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchCommit {
    /// The new meta row. The commit fails unless the present row has the sequence before it.
    pub meta: MetaRow,
    /// Changes of keyspaces, in the order in which they are applied.
    pub keyspaces: Vec<KeyspaceChange>,
    /// Changes of trees. They are applied before those of keyspaces.
    pub trees: Vec<TreeChange>,
    /// The erasures that the batch fulfils; none if it fulfils none.
    pub fulfilled: Option<Fulfilled>,
    /// The state of the clock; see
    /// [`ClockStore::raise_clock_mark`](super::ClockStore::raise_clock_mark).
    pub mark: Mark,
    /// The deployment key, if this batch is the first that has one: every row in the store gets its
    /// MAC.
    pub begins: Option<DeploymentKey>,
    /// The approval that the batch carries out, if any: one transaction approves it and commits the
    /// batch.
    pub approved: Option<ApprovalDecision>,
}

/// The meta row, and the batches that replace it.
#[async_trait]
pub trait BatchStore: Send + Sync {
    /// The meta row, read on a connection that did not write it; none before the first batch.
    async fn meta(&self) -> Result<Option<MetaRow>, StoreError>;

    /// Writes a batch, all or nothing. [`StoreError::Conflict`] when the meta row is not of the
    /// sequence before, a name is taken, or what is dropped is not there; [`StoreError::NotWaiting`]
    /// when its approval does not wait any more.
    async fn commit_batch(&self, batch: &BatchCommit) -> Result<(), StoreError>;

    /// The number up to which all erasures are fulfilled; 0 before the first.
    async fn fulfilled_up_to(&self) -> Result<ErasureNumber, StoreError>;
}
