use async_trait::async_trait;

use super::hsm::SealedSecret;
use crate::identity::{DeploymentId, HsmKeyId, KeyspaceId};
use crate::keyspace::{KeyVersion, KeyspaceName, Policy};
use crate::time::{Expiry, Timestamp};

/// A bucket as the store holds it. While the row lives, `sealed` opens under the HSM key `key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketRow {
    /// Names the bucket.
    pub expiry: Expiry,
    /// Its key X in the HSM.
    pub key: HsmKeyId,
    /// The bucket secret under X.
    pub sealed: SealedSecret,
}

/// A key version as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// Its number.
    pub version: KeyVersion,
    /// When it began to be the newest.
    pub created_at: Timestamp,
}

/// A keyspace as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyspaceRow {
    /// Drawn when it was made.
    pub id: KeyspaceId,
    /// Its name, unique.
    pub name: KeyspaceName,
    /// Counts for keys issued from now on.
    pub policy: Policy,
    /// Live versions, oldest first, never empty.
    pub versions: Vec<VersionRow>,
}

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

/// What a batch changes in the tables of keyspaces and versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyspaceChange {
    /// A new keyspace with its first version.
    Create(KeyspaceRow),
    /// A new newest version.
    AddVersion(KeyspaceId, VersionRow),
    /// A version is forgotten.
    DropVersion(KeyspaceId, KeyVersion),
    /// A keyspace is forgotten with all its versions.
    DropKeyspace(KeyspaceId),
}

/// What one batch writes, in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchCommit {
    /// The new meta row; the present one must be of the sequence before.
    pub meta: MetaRow,
    /// Changes of keyspaces, in order.
    pub keyspaces: Vec<KeyspaceChange>,
}

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
    /// Something of this name, or in this place, is there already.
    #[error("conflict in the store: {0}")]
    Conflict(&'static str),
}

/// What must outlive the process. Every method is one transaction; when it answers, the change is
/// flushed to every copy that could ever be promoted.
#[async_trait]
pub trait Store: Send + Sync {
    /// The deployment's id, once set.
    async fn deployment(&self) -> Result<Option<DeploymentId>, StoreError>;

    /// Sets the deployment's id, once: [`StoreError::Conflict`] when there is another.
    async fn set_deployment(&self, id: DeploymentId) -> Result<(), StoreError>;

    /// Names this store for the claim in the HSM: machine id and path.
    fn instance(&self) -> &str;

    /// All keyspaces, by name.
    async fn keyspaces(&self) -> Result<Vec<KeyspaceRow>, StoreError>;

    /// The meta row, read on a connection that did not write it; none before the first batch.
    async fn meta(&self) -> Result<Option<MetaRow>, StoreError>;

    /// Writes a batch, all or nothing. [`StoreError::Conflict`] when the meta row is not of the
    /// sequence before, a name is taken, or what is dropped is not there.
    async fn commit_batch(&self, batch: &BatchCommit) -> Result<(), StoreError>;

    /// Replaces a keyspace's policy. False when there is no such keyspace.
    async fn set_policy(&self, id: KeyspaceId, policy: &Policy) -> Result<bool, StoreError>;

    /// All buckets, soonest expiry first.
    async fn buckets(&self) -> Result<Vec<BucketRow>, StoreError>;

    /// Adds buckets, all or none; [`StoreError::Conflict`] when one of that expiry is there.
    async fn create_buckets(&self, buckets: &[BucketRow]) -> Result<(), StoreError>;

    /// Deletes the row of a bucket whose HSM key is destroyed. False when there was none.
    async fn delete_bucket(&self, expiry: Expiry, key: HsmKeyId) -> Result<bool, StoreError>;

    /// Highest wall-clock time this deployment ever wrote.
    async fn clock_high_water(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Raises the high-water mark; never lowers it.
    async fn raise_clock_high_water(&self, time: Timestamp) -> Result<(), StoreError>;
}
