use async_trait::async_trait;

use super::store::StoreError;
use crate::approval::{Approval, ApprovalDecision, ApprovalId, Decision, End, ShredCount};
use crate::clock::Mark;
use crate::erasure::{Erasure, ErasureNumber};
use crate::receipt::ErasureId;
use crate::succession::PublishedKey;
use crate::time::Timestamp;

/// How many approvals may wait at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// In all.
    pub all: u32,
    /// Of one client, by its name.
    pub of_client: u32,
}

/// Whether there was room for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// It waits.
    Waits,
    /// As many wait as may.
    Full,
    /// As many wait as this client may have.
    ClientFull,
}

/// What is done in the transaction that approves it. Settings of a keyspace are a batch's: see
/// [`BatchCommit::approved`](super::BatchCommit::approved).
#[derive(Debug, Clone, Copy)]
pub enum Effect<'a> {
    /// Erasures are accepted, as by [`Store::accept`](super::Store::accept).
    Erasures(&'a [Erasure]),
    /// The time is confirmed, as by [`Store::confirm_clock`](super::Store::confirm_clock).
    Clock(&'a Mark),
    /// A move to another HSM begins, with these keys.
    HsmMove(&'a [PublishedKey]),
}

/// What waits for a second operator, as it outlives the process. As with
/// [`Store`](super::Store): every method is one transaction, and durable when it answers. An approval
/// changes once, by whoever is first.
#[async_trait]
pub trait ApprovalStore: Send + Sync {
    /// Writes down what waits, with the erasures that it would accept, in order; nothing when there
    /// is no room for it.
    async fn ask_approval(
        &self,
        approval: &Approval,
        erasures: &[Erasure],
        capacity: Capacity,
    ) -> Result<Enqueued, StoreError>;

    /// One, however far it is.
    async fn approval(&self, id: ApprovalId) -> Result<Option<Approval>, StoreError>;

    /// Those that wait, after `after`, in the order of their ids.
    async fn waiting_approvals(
        &self,
        after: ApprovalId,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError>;

    /// The erasures of one, in order; none once it has ended and is on record.
    async fn approval_erasures(&self, id: ApprovalId) -> Result<Vec<Erasure>, StoreError>;

    /// Which of these erasures wait, and in what; the newest where one waits in several.
    async fn waiting_erasures(
        &self,
        ids: &[ErasureId],
    ) -> Result<Vec<(ErasureId, ApprovalId)>, StoreError>;

    /// Approves one that waits and does what it was for, all or nothing; the first number of the
    /// erasures where it accepts some. None where it does not wait any more: nothing was done.
    async fn approve(
        &self,
        given: &ApprovalDecision,
        effect: Effect<'_>,
    ) -> Result<Option<ErasureNumber>, StoreError>;

    /// Ends one that waits; with who withdrew it. False where it does not wait any more.
    async fn end_approval(
        &self,
        id: ApprovalId,
        end: End,
        at: Timestamp,
        decision: Option<&Decision>,
    ) -> Result<bool, StoreError>;

    /// Those that changed before a time, and what became of them is not on record.
    async fn unrecorded_approvals(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError>;

    /// What became of one is on record. The erasures of one that ended go.
    async fn approval_is_recorded(&self, id: ApprovalId) -> Result<(), StoreError>;

    /// Deletes some that are over and on record, and were asked for before a time; false when none is
    /// left.
    async fn forget_approvals(&self, before: Timestamp) -> Result<bool, StoreError>;

    /// Accepts erasures as [`Store::accept`](super::Store::accept) does, and adds to what counts in the
    /// window.
    async fn accept_counted(
        &self,
        erasures: &[Erasure],
        counts: &[ShredCount],
    ) -> Result<ErasureNumber, StoreError>;

    /// What counts in parts of the window that end after a time, in the order of their ends.
    async fn shred_counts(&self, after: Timestamp) -> Result<Vec<ShredCount>, StoreError>;

    /// Deletes what counts in parts that ended by then.
    async fn forget_shred_counts(&self, until: Timestamp) -> Result<(), StoreError>;
}
