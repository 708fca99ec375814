//! How an approval ends without being approved.

use lethe_core::approval::{Action, Approval, ApprovalState, Decision, End, Scope, Void};
use lethe_core::ports::StoreError;
use lethe_core::receipt::ErasureId;
use lethe_core::refusals::{Refusal, Target};
use lethe_core::time::Timestamp;

use super::Approvals;
use super::record::changed;
use crate::identity::{Role, SpiffeId};

/// How an approval that waits has to end now; none if it can still be approved.
pub(super) fn due_end(approvals: &Approvals, approval: &Approval, now: Timestamp) -> Option<End> {
    if approval.state != ApprovalState::Waiting {
        return None;
    }
    let exists = |scope: &Scope| keyspace_exists(approvals, scope);
    if !approval.scope.as_ref().is_none_or(exists) {
        Some(End::Void(Void::KeyspaceGone))
    } else if approval.expires_at <= now {
        Some(End::Expired)
    } else if !asker_may(approvals, approval) {
        Some(End::Void(Void::AskerGone))
    } else {
        None
    }
}

/// Whether the client that asked still has the grant for it.
fn asker_may(approvals: &Approvals, approval: &Approval) -> bool {
    let Ok(client) = approval.asked_by.client.parse::<SpiffeId>() else {
        return false;
    };
    let rules = approvals.gate.rules();
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

/// The approval in its present state, also if the store does not have that state yet.
#[must_use]
pub fn effective(approvals: &Approvals, mut approval: Approval, now: Timestamp) -> Approval {
    if let Some(end) = due_end(approvals, &approval, now) {
        approval.state = ApprovalState::Ended(end);
    }
    approval
}

/// Ends an approval unless another call has changed it before. Returns it in its new state. `decision` is of
/// the client that withdraws it.
pub(super) async fn end(
    approvals: &Approvals,
    approval: Approval,
    end: End,
    decision: Option<Decision>,
) -> Result<Approval, StoreError> {
    let store = &approvals.store;
    let at = approvals.node.now();
    let ended = store.end_approval(approval.id, end, at, decision.as_ref());
    if ended.await? {
        let approval = Approval {
            state: ApprovalState::Ended(end),
            decision,
            ..approval
        };
        changed(approvals, &approval).await;
        return Ok(approval);
    }
    let current = store.approval(approval.id).await?;
    Ok(current.unwrap_or(approval))
}

/// Whether the keyspace exists and its erase is not accepted. Another keyspace may have its name by now.
#[must_use]
pub fn keyspace_exists(approvals: &Approvals, scope: &Scope) -> bool {
    let keyring = approvals.node.key_state.keyring();
    let named = keyring.keyspaces.get(&scope.name);
    let erased = approvals
        .node
        .key_state
        .refusals
        .get(Target::Keyspace(scope.id));
    // While the erase is being written the keyspace still exists.
    named.is_some_and(|it| it.id == scope.id) && matches!(erased, None | Some(Refusal::Pending))
}

/// The erase of the keyspace of an approval, which destroys what the approval was for; none if there was none,
/// or the store has deleted its row.
///
/// # Errors
/// Of the store.
pub async fn superseding_erase(
    approvals: &Approvals,
    approval: &Approval,
) -> Result<Option<ErasureId>, StoreError> {
    match &approval.scope {
        Some(scope) if !keyspace_exists(approvals, scope) => {
            approvals.erasures.erase_of(&scope.name, scope.id).await
        }
        _ => Ok(None),
    }
}

/// Why an approval was not withdrawn.
#[derive(Debug, thiserror::Error)]
pub enum WithdrawError {
    /// It is approved.
    #[error("it is approved already: what it was for is done, or will certainly be done")]
    Approved,
    /// It ended in another way.
    #[error("it does not wait any more: it has expired, or could not be done any more")]
    Ended,
    /// The store failed. The call can be sent again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Withdraws an approval, so that nothing is done. A second call changes nothing.
///
/// # Errors
/// [`WithdrawError`].
pub async fn withdraw(
    approvals: &Approvals,
    approval: Approval,
    decision: Decision,
) -> Result<Approval, WithdrawError> {
    let due = due_end(approvals, &approval, decision.at);
    let approval = match (approval.state, due) {
        (ApprovalState::Waiting, Some(due)) => end(approvals, approval, due, None).await?,
        (ApprovalState::Waiting, None) => {
            end(approvals, approval, End::Withdrawn, Some(decision)).await?
        }
        _ => approval,
    };
    match approval.state {
        ApprovalState::Ended(End::Withdrawn) => Ok(approval),
        ApprovalState::Approved => Err(WithdrawError::Approved),
        ApprovalState::Waiting | ApprovalState::Ended(_) => Err(WithdrawError::Ended),
    }
}
