//! How an approval ends without what it was for.

use lethe_core::approval::{Action, Approval, ApprovalState, Decision, End, Scope, Void};
use lethe_core::ports::StoreError;
use lethe_core::time::Timestamp;

use super::keyspace_exists;
use super::record::changed;
use crate::identity::{Role, SpiffeId};
use crate::service::Service;

/// How one that waits has to end now; none where it can be approved still.
pub(super) fn due_end(service: &Service, approval: &Approval, now: Timestamp) -> Option<End> {
    if approval.state != ApprovalState::Waiting {
        return None;
    }
    let exists = |scope: &Scope| keyspace_exists(service, scope);
    if !approval.scope.as_ref().is_none_or(exists) {
        Some(End::Void(Void::KeyspaceGone))
    } else if approval.expires_at <= now {
        Some(End::Expired)
    } else if !asker_may(service, approval) {
        Some(End::Void(Void::AskerGone))
    } else {
        None
    }
}

/// Whether who asked may ask for it still.
fn asker_may(service: &Service, approval: &Approval) -> bool {
    let Ok(client) = approval.asked_by.client.parse::<SpiffeId>() else {
        return false;
    };
    let rules = service.gate.rules();
    let Some(grant) = rules.access().grant(&client) else {
        return false;
    };
    let role = match approval.action {
        Action::Shred { .. } => matches!(grant.role, Role::MessageServer | Role::Operator),
        _ => grant.role == Role::Operator,
    };
    role && match approval.keyspace_name() {
        Some(name) => grant.allows(name),
        None => grant.allows_all(),
    }
}

/// As it stands by now, though the store may not have it yet.
#[must_use]
pub fn effective(service: &Service, mut approval: Approval, now: Timestamp) -> Approval {
    if let Some(end) = due_end(service, &approval, now) {
        approval.state = ApprovalState::Ended(end);
    }
    approval
}

/// Ends it, unless somebody was faster; `decision` of who withdrew it. As it stands then.
pub(super) async fn end(
    service: &Service,
    approval: Approval,
    end: End,
    decision: Option<Decision>,
) -> Result<Approval, StoreError> {
    let store = &service.approvals.store;
    let at = service.now();
    let ended = store.end_approval(approval.id, end, at, decision.as_ref());
    if ended.await? {
        let approval = Approval {
            state: ApprovalState::Ended(end),
            decision,
            ..approval
        };
        changed(service, &approval).await;
        return Ok(approval);
    }
    let present = store.approval(approval.id).await?;
    Ok(present.unwrap_or(approval))
}

/// Why it was not withdrawn.
#[derive(Debug, thiserror::Error)]
pub enum WithdrawError {
    /// The approval holds.
    #[error("it is approved already: what it was for is done, or certain to be")]
    Approved,
    /// It waits no more.
    #[error("it waits no more: it has expired, or could not be done any more")]
    Over,
    /// Sent again it does no harm.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Withdraws it; nothing that it was for is done. Twice is once.
///
/// # Errors
/// [`WithdrawError`].
pub async fn withdraw(
    service: &Service,
    approval: Approval,
    decision: Decision,
) -> Result<Approval, WithdrawError> {
    let due = due_end(service, &approval, decision.at);
    let approval = match (approval.state, due) {
        (ApprovalState::Waiting, Some(due)) => end(service, approval, due, None).await?,
        (ApprovalState::Waiting, None) => {
            end(service, approval, End::Withdrawn, Some(decision)).await?
        }
        _ => approval,
    };
    match approval.state {
        ApprovalState::Ended(End::Withdrawn) => Ok(approval),
        ApprovalState::Approved => Err(WithdrawError::Approved),
        ApprovalState::Waiting | ApprovalState::Ended(_) => Err(WithdrawError::Over),
    }
}
