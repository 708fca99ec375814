use async_trait::async_trait;

use super::store::StoreError;
use crate::approval::{
    Approval, ApprovalDecision, ApprovalId, Decision, End, ShredCount, ShredLimits, ShredWindow,
};
use crate::clock::Mark;
use crate::erasure::{Erasure, ErasureNumber};
use crate::receipt::ErasureId;
use crate::succession::PublishedKey;
use crate::time::Timestamp;

/// How many approvals may wait at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// In all.
    pub all: u32,
    /// Of one client, by its name.
    pub of_client: u32,
}

/// Whether an approval was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// It waits.
    Waiting,
    /// No more may wait.
    Full,
    /// No more of this client may wait.
    ClientFull,
}

/// What the transaction that approves an approval does. A batch changes settings of keyspaces: see
/// [`BatchCommit::approved`](super::BatchCommit::approved).
#[derive(Debug, Clone, Copy)]
pub enum Effect<'a> {
    /// Erasures are accepted, as by [`ErasureStore::accept`](super::ErasureStore::accept).
    Erasures(&'a [Erasure]),
    /// The time is confirmed, as by [`ClockStore::confirm_clock`](super::ClockStore::confirm_clock).
    Clock(&'a Mark),
    /// A move to another HSM begins, with these keys.
    HsmMove(&'a [PublishedKey]),
}

/// The store of approvals. As in [`Store`](super::Store), every method is one transaction and is durable when
/// it returns. An approval changes its state once: the first call succeeds.
#[async_trait]
pub trait ApprovalStore: Send + Sync {
    /// Stores an approval that waits with its erasures in order; nothing if there is no room for it.
    async fn ask_approval(
        &self,
        approval: &Approval,
        erasures: &[Erasure],
        capacity: Capacity,
    ) -> Result<Enqueued, StoreError>;

    /// One approval in any state; none if there is no such approval.
    async fn approval(&self, id: ApprovalId) -> Result<Option<Approval>, StoreError>;

    /// Approvals that wait, with ids after `after`, in the order of their ids.
    async fn waiting_approvals(
        &self,
        after: ApprovalId,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError>;

    /// The erasures of an approval, in order; none after it has ended and was recorded.
    async fn approval_erasures(&self, id: ApprovalId) -> Result<Vec<Erasure>, StoreError>;

    /// Which of these erasures wait for which approval; the newest approval if there are several.
    async fn waiting_erasures(
        &self,
        ids: &[ErasureId],
    ) -> Result<Vec<(ErasureId, ApprovalId)>, StoreError>;

    /// Approves an approval that waits and does its effect, both or neither. Returns the number of the first
    /// accepted erasure. None if it does not wait any more: then nothing was done.
    async fn approve(
        &self,
        decision: &ApprovalDecision,
        effect: Effect<'_>,
    ) -> Result<Option<ErasureNumber>, StoreError>;

    /// Ends an approval that waits, with the decision of the client that withdraws it. False if it does not
    /// wait any more.
    async fn end_approval(
        &self,
        id: ApprovalId,
        end: End,
        at: Timestamp,
        decision: Option<&Decision>,
    ) -> Result<bool, StoreError>;

    /// Approvals whose state changed before a time and was not recorded in the audit log.
    async fn unrecorded_approvals(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError>;

    /// Marks an approval as recorded in the audit log. If it has ended, its erasures are deleted.
    async fn approval_is_recorded(&self, id: ApprovalId) -> Result<(), StoreError>;

    /// Deletes some approvals that do not wait, were recorded, and were asked for before a time. False if
    /// none is left.
    async fn forget_approvals(&self, before: Timestamp) -> Result<bool, StoreError>;

    /// Accepts erasures as [`ErasureStore::accept`](super::ErasureStore::accept) does, and adds `counts` to
    /// their windows, if the windows as they are in this transaction have room for one count after the other.
    /// None if they do not: then nothing was done. So processes that share the store cannot exceed a limit
    /// together.
    async fn accept_counted(
        &self,
        erasures: &[Erasure],
        counts: &[ShredCount],
        limits: &ShredLimits,
        now: Timestamp,
    ) -> Result<Option<ErasureNumber>, StoreError>;

    /// The conversations that were counted in each of these windows, in parts that end after a time.
    async fn shred_sums(
        &self,
        windows: &[ShredWindow],
        after: Timestamp,
    ) -> Result<Vec<u64>, StoreError>;

    /// Deletes the counts of parts that ended at `until` or before.
    async fn forget_shred_counts(&self, until: Timestamp) -> Result<(), StoreError>;
}
