use async_trait::async_trait;

use super::{KeyspaceChange, StoreError, TreeChange};
use crate::approval::ApprovalDecision;
use crate::clock::Mark;
use crate::deployment_key::DeploymentKey;
use crate::erasure::ErasureNumber;
use crate::identity::{DeploymentId, HsmKeyId};
use crate::ports::{HsmKey, KeyLabel, SealedSecret};

/// The directory key under one HSM's root. One share opens it alone; k-of-n splits come with more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootShare {
    /// The root in the HSM.
    pub root: HsmKeyId,
    /// The directory key under it.
    pub sealed: SealedSecret,
}

/// The meta row: the one place that says which root is the right one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaRow {
    /// Counts batches, from 1.
    pub sequence: u64,
    /// Epoch of the leader that wrote it.
    pub epoch: u64,
    /// The directory key.
    pub share: RootShare,
    /// The directory, sealed under its key.
    pub directory: Vec<u8>,
}

impl MetaRow {
    /// The root that seals it, as the HSM names it.
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
    /// The first.
    pub first: ErasureNumber,
    /// The last.
    pub last: ErasureNumber,
    /// The root that dies with it.
    pub replaced_root: HsmKeyId,
}

/// What one batch writes, in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchCommit {
    /// The new meta row; the present one must be of the sequence before.
    pub meta: MetaRow,
    /// Changes of keyspaces, in order.
    pub keyspaces: Vec<KeyspaceChange>,
    /// Changes of trees, before those of keyspaces.
    pub trees: Vec<TreeChange>,
    /// None where nobody waits for a receipt.
    pub fulfilled: Option<Fulfilled>,
    /// Where the clock stands; as [`ClockStore::raise_clock_mark`](super::ClockStore::raise_clock_mark).
    pub mark: Mark,
    /// The batch begins the deployment's key: every row that is there gets its MAC.
    pub begins: Option<DeploymentKey>,
    /// A second operator's approval that the batch carries out: it is given with it, or neither.
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

    /// Up to which erasure batches have fulfilled them; 0 before the first.
    async fn fulfilled_up_to(&self) -> Result<ErasureNumber, StoreError>;
}
