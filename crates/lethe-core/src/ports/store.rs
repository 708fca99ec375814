use async_trait::async_trait;

use super::hsm::{HsmKey, KeyLabel, SealedSecret};
use crate::approval::ApprovalDecision;
use crate::claim::StoreLocation;
use crate::clock::Mark;
use crate::deployment_key::DeploymentKey;
use crate::erasure::{AcceptedErasure, Erasure, ErasureNumber};
use crate::identity::{ClaimNonce, DeploymentId, HsmKeyId, KeyspaceId, StoreId};
use crate::keyspace::{KeyVersion, KeyspaceName, Policy};
use crate::receipt::ErasureId;
use crate::succession::PublishedKey;
use crate::time::{Expiry, Timestamp};
use crate::tree::{Prefix, Row, SealedPage, SealedTail, TailId, TreeId};

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

/// What the claim has to say for this copy of the store to be the one that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// Drawn once; copies share it.
    pub store: StoreId,
    /// The claim's, as the last start or stop left it.
    pub nonce: ClaimNonce,
    /// What a start or a stop that was cut off may have given the claim.
    pub next: Option<ClaimNonce>,
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
    /// When the last `cache_until` under earlier settings can have ended.
    pub leases_until: Timestamp,
    /// When the last key issued under earlier settings has expired.
    pub expiries_until: Timestamp,
    /// Older versions are refused.
    pub minimum_version: KeyVersion,
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
    /// A keyspace gets other settings, or other times of its versions, which stay the same ones.
    Replace(KeyspaceRow),
}

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
    /// Where the clock stands; as [`Store::raise_clock_mark`].
    pub mark: Mark,
    /// The batch begins the deployment's key: every row that is there gets its MAC.
    pub begins: Option<DeploymentKey>,
    /// A second operator's approval that the batch carries out: it is given with it, or neither.
    pub approved: Option<ApprovalDecision>,
}

/// What became true when the HSM had destroyed what it should, and its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedDestruction {
    /// When the HSM had confirmed it.
    pub destroyed_at: Timestamp,
    /// The HSM keys that are gone.
    pub destroyed: Vec<HsmKeyId>,
    /// The key that signed.
    pub signing_key: HsmKeyId,
    /// Ed25519.
    pub signature: [u8; 64],
}

/// A batch of erasures as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRow {
    /// Its sequence.
    pub sequence: u64,
    /// Its erasures.
    pub fulfilled: Fulfilled,
    /// None until the destruction is confirmed and signed.
    pub signed: Option<SignedDestruction>,
}

/// The signed expiry of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiryRow {
    /// The bucket.
    pub expiry: Expiry,
    /// Names one key alone.
    pub signed: SignedDestruction,
}

/// How far a move to another HSM is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HsmMove {
    /// Keys may be in both.
    UnderWay,
    /// The old one holds no key any more, at most the claim.
    Emptied,
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

/// What must outlive the process. Every method is one transaction. When one that writes answers, the
/// change is flushed, and a start would find it: what is answered or used needs nothing more, and
/// nothing is written where a start would not look. An error may hide a change that was made.
/// What destroys passes [`Self::barrier`] as well.
#[async_trait]
pub trait Store: Send + Sync {
    /// The deployment's id, once set.
    async fn deployment(&self) -> Result<Option<DeploymentId>, StoreError>;

    /// Sets the deployment's id, once: [`StoreError::Conflict`] when there is another.
    async fn set_deployment(&self, id: DeploymentId) -> Result<(), StoreError>;

    /// From now on rows are written with their MACs, and checked before they are used; those that
    /// were used before are checked here. The same key again only checks these again.
    /// [`StoreError::Altered`] for a row that somebody else wrote or changed.
    async fn authenticate(&self, key: &DeploymentKey) -> Result<(), StoreError>;

    /// The first row that was found altered, whoever had asked for it.
    fn altered(&self) -> Option<&str>;

    /// Where this store is.
    fn location(&self) -> &StoreLocation;

    /// Its seat; none before the first start.
    async fn seat(&self) -> Result<Option<Seat>, StoreError>;

    /// Replaces its seat.
    async fn set_seat(&self, seat: &Seat) -> Result<(), StoreError>;

    /// All keyspaces, by name.
    async fn keyspaces(&self) -> Result<Vec<KeyspaceRow>, StoreError>;

    /// The meta row, read on a connection that did not write it; none before the first batch.
    async fn meta(&self) -> Result<Option<MetaRow>, StoreError>;

    /// Writes a batch, all or nothing. [`StoreError::Conflict`] when the meta row is not of the
    /// sequence before, a name is taken, or what is dropped is not there; [`StoreError::NotWaiting`]
    /// when its approval does not wait any more.
    async fn commit_batch(&self, batch: &BatchCommit) -> Result<(), StoreError>;

    /// The durability barrier, before anything is destroyed and before anything is used that no
    /// answer vouches for: everything committed so far, by whoever, is flushed to every copy that
    /// could ever be promoted, and a start would find it. Looks for itself instead of trusting a
    /// setting; after a crash it flushes what the crash may have left in the caches of the system.
    async fn barrier(&self) -> Result<(), StoreError>;

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

    /// Writes erasures down, all or none, and numbers them in order; gives the first number.
    /// [`StoreError::Conflict`] when one of their ids is there already.
    async fn accept(&self, erasures: &[Erasure]) -> Result<ErasureNumber, StoreError>;

    /// Erasures by their ids, in no order; those that are there.
    async fn erasures_by_id(&self, ids: &[ErasureId]) -> Result<Vec<AcceptedErasure>, StoreError>;

    /// Erasures from `first` to `last`, in order.
    async fn erasures(
        &self,
        first: ErasureNumber,
        last: ErasureNumber,
    ) -> Result<Vec<AcceptedErasure>, StoreError>;

    /// The erase of a keyspace that bore this name and id, if one was accepted.
    async fn erase_of(
        &self,
        name: &KeyspaceName,
        id: KeyspaceId,
    ) -> Result<Option<ErasureId>, StoreError>;

    /// All erasures after `fulfilled`, in order.
    async fn open_erasures(
        &self,
        fulfilled: ErasureNumber,
    ) -> Result<Vec<AcceptedErasure>, StoreError>;

    /// Up to which erasure batches have fulfilled them; 0 before the first.
    async fn fulfilled_up_to(&self) -> Result<ErasureNumber, StoreError>;

    /// The batch that fulfilled an erasure.
    async fn batch_of(&self, number: ErasureNumber) -> Result<Option<BatchRow>, StoreError>;

    /// Batches without a signature, oldest first.
    async fn unsigned_batches(&self) -> Result<Vec<BatchRow>, StoreError>;

    /// Adds the signature to a batch.
    async fn sign_batch(&self, sequence: u64, signed: &SignedDestruction)
    -> Result<(), StoreError>;

    /// Deletes some erasures and expiries that were done before a time; false when none is left.
    async fn forget_receipts(&self, before: Timestamp) -> Result<bool, StoreError>;

    /// All buckets, soonest expiry first.
    async fn buckets(&self) -> Result<Vec<BucketRow>, StoreError>;

    /// Adds buckets, all or none; [`StoreError::Conflict`] when one of that expiry is there.
    async fn create_buckets(&self, buckets: &[BucketRow]) -> Result<(), StoreError>;

    /// Replaces buckets, all or none: each row's key before, and the row of the same expiry that
    /// takes its place. [`StoreError::Conflict`] when a row is not there with that key.
    async fn replace_buckets(&self, buckets: &[(HsmKeyId, BucketRow)]) -> Result<(), StoreError>;

    /// Deletes the row of a bucket whose HSM key is destroyed, if there is one, and keeps the
    /// signed word of it. The same key again changes nothing.
    async fn finish_bucket(&self, expired: &ExpiryRow) -> Result<(), StoreError>;

    /// Signed expiries after `after`, soonest first, about `limit`: those of one expiry stand
    /// together.
    async fn expiries(&self, after: Expiry, limit: u32) -> Result<Vec<ExpiryRow>, StoreError>;

    /// Verification keys since the deployment first moved to another HSM, in order of succession;
    /// none before.
    async fn signing_keys(&self) -> Result<Vec<PublishedKey>, StoreError>;

    /// The move to another HSM that is under way, if one is.
    async fn hsm_move(&self) -> Result<Option<HsmMove>, StoreError>;

    /// Writes down that a move begins, and the keys that are to be published from now on; those that
    /// are there stay. [`StoreError::Conflict`] when one is under way.
    async fn begin_hsm_move(&self, keys: &[PublishedKey]) -> Result<(), StoreError>;

    /// Writes down that the HSM that the move began from holds no key any more.
    async fn hsm_is_emptied(&self) -> Result<(), StoreError>;

    /// Writes down that the move is done; nothing when none is under way.
    async fn finish_hsm_move(&self) -> Result<(), StoreError>;

    /// Where the clock stood when it was written down last.
    async fn clock_mark(&self) -> Result<Mark, StoreError>;

    /// Writes down where the clock stands, but for its lag: nothing where a later time stands there.
    async fn raise_clock_mark(&self, mark: &Mark) -> Result<(), StoreError>;

    /// Writes down a confirmed clock with its lag; the time never sinks.
    async fn confirm_clock(&self, mark: &Mark) -> Result<(), StoreError>;
}
