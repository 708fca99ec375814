//! What waits is taken back.

use lethe_core::approval::{Approval, ApprovalState, SecondWord};
use lethe_core::ports::StoreError;

use super::lives;
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
    /// Sent again it does no harm.
    #[error(transparent)]
    Store(#[from] StoreError),
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
    let store = &service.approvals.store;
    let waits = approval.state == ApprovalState::Waiting;
    if waits && approval.expires_at > word.at && lives(service, &approval) {
        let (from, to) = (ApprovalState::Waiting, ApprovalState::Withdrawn);
        let taken_back = store.advance_approval(approval.id, from, to, Some(&word));
        if taken_back.await? {
            service.metrics.approval("withdrawn");
            tracing::warn!(
                approval = %approval.id, keyspace = %approval.keyspace_name,
                client = %word.by.client, "what waited for a second operator was withdrawn"
            );
        }
    }
    // Somebody else may have been faster.
    let approval = store.approval(approval.id).await?;
    let approval = approval.ok_or(NotWithdrawn::Over)?;
    match approval.state {
        ApprovalState::Withdrawn => Ok(approval),
        ApprovalState::Given | ApprovalState::Done => Err(NotWithdrawn::Approved),
        ApprovalState::Waiting | ApprovalState::Expired | ApprovalState::Void => {
            Err(NotWithdrawn::Over)
        }
    }
}
