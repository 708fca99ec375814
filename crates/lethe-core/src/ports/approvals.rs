use async_trait::async_trait;

use super::store::StoreError;
use crate::approval::{Approval, ApprovalId, ApprovalState, SecondWord};
use crate::receipt::RequestId;
use crate::request::Request;
use crate::time::Timestamp;

/// How many approvals may wait at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// In all.
    pub all: u32,
    /// Of one client, by its name.
    pub of_client: u32,
}

/// Whether there was room for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// It waits.
    Waits,
    /// As many wait as may.
    Full,
    /// As many wait as this client may have.
    ClientFull,
}

/// What waits for a second operator, as it outlives the process. As with
/// [`Store`](super::Store): every method is one transaction, and durable when it answers.
#[async_trait]
pub trait ApprovalStore: Send + Sync {
    /// Writes down what waits, with the requests that it would accept, in order; nothing when there
    /// is no room for it.
    async fn ask_approval(
        &self,
        approval: &Approval,
        requests: &[Request],
        room: Room,
    ) -> Result<Asking, StoreError>;

    /// One, however far it is.
    async fn approval(&self, id: ApprovalId) -> Result<Option<Approval>, StoreError>;

    /// Those in a state, after `after`, in the order of their ids.
    async fn approvals(
        &self,
        state: ApprovalState,
        after: ApprovalId,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError>;

    /// The requests of one, in order; none once it has expired, is void or
    /// was withdrawn.
    async fn approval_requests(&self, id: ApprovalId) -> Result<Vec<Request>, StoreError>;

    /// Which of these requests wait, and in what; the newest where one waits in several.
    async fn waiting_requests(
        &self,
        ids: &[RequestId],
    ) -> Result<Vec<(RequestId, ApprovalId)>, StoreError>;

    /// From one state to another; with who said so where somebody did. False when it is not in
    /// the state that it comes from. What has expired, is void or was withdrawn keeps no requests.
    async fn advance_approval(
        &self,
        id: ApprovalId,
        from: ApprovalState,
        to: ApprovalState,
        second: Option<&SecondWord>,
    ) -> Result<bool, StoreError>;

    /// Deletes some that are over and were asked for before a time; false when none is left.
    async fn forget_approvals(&self, before: Timestamp) -> Result<bool, StoreError>;

    /// When the newest shreds were accepted, newest first.
    async fn newest_shreds(&self, limit: u32) -> Result<Vec<Timestamp>, StoreError>;
}
