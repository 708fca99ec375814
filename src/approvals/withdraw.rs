//! What waits is taken back.

use lethe_core::approval::{Approval, ApprovalState, SecondWord};
use lethe_core::ports::StoreError;

use super::end::{NotEnded, end, ended, present};
use crate::service::Service;

/// Why it was not taken back.
#[derive(Debug, thiserror::Error)]
pub enum NotWithdrawn {
    /// The second word holds.
    #[error("it is approved already: what it was for is done, or certain to be")]
    Approved,
    /// It waits no more.
    #[error("it waits no more: it has expired, or could not be done any more")]
    Over,
    /// Nothing is taken back without a record: it waits on.
    #[error("the audit log cannot be written")]
    NotRecorded,
    /// Sent again it does no harm.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<NotEnded> for NotWithdrawn {
    fn from(error: NotEnded) -> Self {
        match error {
            NotEnded::NotRecorded => Self::NotRecorded,
            NotEnded::Store(error) => Self::Store(error),
        }
    }
}

/// Takes it back; nothing that it was for is done. Twice is once.
///
/// # Errors
/// [`NotWithdrawn`].
pub async fn withdraw(
    service: &Service,
    approval: Approval,
    word: SecondWord,
) -> Result<Approval, NotWithdrawn> {
    if approval.state == ApprovalState::Waiting
        && let None | Some(ApprovalState::Withdrawn) = ended(service, &approval, word.at)
    {
        end(service, &approval, ApprovalState::Withdrawn, Some(&word)).await?;
    }
    // Somebody else may have been faster.
    let approval = service.approvals.store.approval(approval.id).await?;
    let approval = approval.ok_or(NotWithdrawn::Over)?;
    let approval = present(service, approval, word.at);
    match approval.state {
        ApprovalState::Withdrawn => Ok(approval),
        ApprovalState::Given | ApprovalState::Done => Err(NotWithdrawn::Approved),
        ApprovalState::Waiting | ApprovalState::Expired | ApprovalState::Void => {
            Err(NotWithdrawn::Over)
        }
    }
}
