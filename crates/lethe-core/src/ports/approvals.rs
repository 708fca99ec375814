use async_trait::async_trait;

use super::store::StoreError;
use crate::approval::{Approval, ApprovalId, ApprovalState, SecondWord};
use crate::receipt::RequestId;
use crate::request::Request;
use crate::time::Timestamp;

/// What waits for a second operator, as it outlives the process. As with
/// [`Store`](super::Store): every method is one transaction, and durable when it answers.
#[async_trait]
pub trait ApprovalStore: Send + Sync {
    /// Writes down what waits, with the requests that it would accept, in order;
    /// [`StoreError::Conflict`] when `most` wait already.
    async fn ask_approval(
        &self,
        approval: &Approval,
        requests: &[Request],
        most: u32,
    ) -> Result<(), StoreError>;

    /// One, however far it is.
    async fn approval(&self, id: ApprovalId) -> Result<Option<Approval>, StoreError>;

    /// Those in a state, after `after`, in the order of their ids.
    async fn approvals(
        &self,
        state: ApprovalState,
        after: ApprovalId,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError>;

    /// The requests of one, in order; none once it has expired or is void.
    async fn approval_requests(&self, id: ApprovalId) -> Result<Vec<Request>, StoreError>;

    /// Which of these requests wait, and in what; the newest where one waits in several.
    async fn waiting_requests(
        &self,
        ids: &[RequestId],
    ) -> Result<Vec<(RequestId, ApprovalId)>, StoreError>;

    /// From one state to another; with the second word where it is given. False when it is not in
    /// the state that it comes from. What has expired or is void keeps no requests.
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
