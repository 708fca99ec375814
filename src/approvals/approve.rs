//! Approving: the approval and what it is for are done in one transaction of the store.

use lethe_core::approval::{
    Action, Approval, ApprovalDecision, ApprovalState, Decision, End, Void,
};
use lethe_core::keyring::KeyError;
use lethe_core::ports::StoreError;
use lethe_core::receipt::ErasureId;

use super::end::{due_end, end};
use super::record::changed;
use super::{Approvals, superseding_erase};
use crate::erasure::{AcceptError, ErasureAnswer, ErasureRequest};
use crate::leader::{ClockConfirmed, KeeperError, Settings};
use crate::permissions::Permission;

/// An approval that is approved, and its effect.
pub struct Approved {
    /// The approval.
    pub approval: Approval,
    /// What was done.
    pub effect: ApprovedEffect,
}

/// What was done by approving.
pub enum ApprovedEffect {
    /// Erasures are accepted: the answer for each, in order.
    Erasures(Vec<Result<ErasureAnswer, AcceptError>>),
    /// The settings of a keyspace are changed.
    Settings,
    /// The clock is confirmed; none if this approval did that before.
    Clock(Option<ClockConfirmed>),
    /// The move to the other HSM has begun.
    HsmMove,
}

/// Why an approval was not approved.
#[derive(Debug, thiserror::Error)]
pub enum ApproveError {
    /// The approver has the name or the key of the client that asked.
    #[error("a second operator has to approve it, with another name and another key")]
    Own,
    /// It was withdrawn.
    #[error("it was withdrawn: ask for it again")]
    Withdrawn,
    /// The erase of its keyspace is accepted. That erase has this id, if its row is still there.
    #[error(
        "its keyspace is erased, and everything in it{}",
        .0.map(|id| format!(": see request {id}")).unwrap_or_default()
    )]
    Superseded(Option<ErasureId>),
    /// It was not approved in time.
    #[error("it has expired: ask for it again")]
    Expired,
    /// The client that asked has no grant for it any more.
    #[error("it is void: the client who asked for it may not do that any more")]
    AskerGone,
    /// What it is for is done, or has changed.
    #[error(
        "it cannot be done any more because something has changed: ask for it again if it is still needed"
    )]
    Outdated,
    /// It was approved before, and the rows of its erasures are deleted.
    #[error("it was approved and done so long ago that its receipts are deleted")]
    Forgotten,
    /// The keeper did not do it. The call can be sent again.
    #[error(transparent)]
    Keeper(KeeperError),
    /// No erasure was accepted. The call can be sent again.
    #[error(transparent)]
    Accept(#[from] AcceptError),
}

impl From<StoreError> for ApproveError {
    fn from(error: StoreError) -> Self {
        Self::Accept(error.into())
    }
}

/// Why it was not carried out by this call.
enum NotDone {
    /// Another call has changed it before.
    NotWaiting,
    /// It cannot be done any more.
    Outdated,
    /// It may succeed when the call is sent again.
    Failed(Box<ApproveError>),
}

impl From<StoreError> for NotDone {
    fn from(error: StoreError) -> Self {
        Self::Failed(Box::new(error.into()))
    }
}

/// Approves an approval and does what it is for. A second call gets the same answer.
///
/// # Errors
/// [`ApproveError`].
pub async fn approve(
    approvals: &Approvals,
    approval: Approval,
    decision: Decision,
) -> Result<Approved, ApproveError> {
    if !decision.by.is_another_than(&approval.asked_by) {
        return Err(ApproveError::Own);
    }
    if approval.state != ApprovalState::Waiting {
        return approved_before(approvals, approval).await;
    }
    if let Some(due) = due_end(approvals, &approval, decision.at) {
        let approval = end(approvals, approval, due, None).await?;
        return approved_before(approvals, approval).await;
    }
    let decision = ApprovalDecision {
        id: approval.id,
        decision,
    };
    match carry_out(approvals, &approval, decision.clone()).await {
        Ok(effect) => {
            let approval = Approval {
                state: ApprovalState::Approved,
                decision: Some(decision.decision),
                ..approval
            };
            changed(approvals, &approval).await;
            Ok(Approved { approval, effect })
        }
        Err(NotDone::Failed(error)) => Err(*error),
        Err(NotDone::Outdated) => {
            let now = approvals.node.now();
            let due = due_end(approvals, &approval, now);
            let due = due.unwrap_or(End::Void(Void::Outdated));
            let approval = end(approvals, approval, due, None).await?;
            approved_before(approvals, approval).await
        }
        Err(NotDone::NotWaiting) => {
            let current = approvals.store.approval(approval.id).await?;
            approved_before(approvals, current.unwrap_or(approval)).await
        }
    }
}

/// The answer for an approval that does not wait any more.
async fn approved_before(
    approvals: &Approvals,
    approval: Approval,
) -> Result<Approved, ApproveError> {
    match approval.state {
        ApprovalState::Approved => {}
        // The row is gone: it cannot still wait.
        ApprovalState::Waiting => return Err(AcceptError::Busy.into()),
        ApprovalState::Ended(End::Expired) => return Err(ApproveError::Expired),
        ApprovalState::Ended(End::Withdrawn) => return Err(ApproveError::Withdrawn),
        ApprovalState::Ended(End::Void(Void::AskerGone)) => return Err(ApproveError::AskerGone),
        ApprovalState::Ended(End::Void(Void::Outdated)) => return Err(ApproveError::Outdated),
        ApprovalState::Ended(End::Void(Void::KeyspaceGone)) => {
            let erase = superseding_erase(approvals, &approval).await?;
            return Err(ApproveError::Superseded(erase));
        }
    }
    let effect = match approval.action {
        Action::SetMinimum(_) | Action::SetPolicy { .. } => ApprovedEffect::Settings,
        Action::ConfirmClock => ApprovedEffect::Clock(None),
        Action::MoveHsm => ApprovedEffect::HsmMove,
        Action::Shred { .. } | Action::EraseKeyspace | Action::DropVersion(_) => {
            // Its erasures are known, or their rows are deleted. None may be accepted as new.
            let accepted = accept(approvals, &approval, Permission::for_nothing_new()).await;
            let accepted = accepted.map_err(|error| match error {
                NotDone::Failed(error) => *error,
                NotDone::NotWaiting | NotDone::Outdated => ApproveError::Forgotten,
            })?;
            ApprovedEffect::Erasures(accepted)
        }
    };
    Ok(Approved { approval, effect })
}

async fn carry_out(
    approvals: &Approvals,
    approval: &Approval,
    decision: ApprovalDecision,
) -> Result<ApprovedEffect, NotDone> {
    match approval.action {
        Action::Shred { .. } | Action::EraseKeyspace | Action::DropVersion(_) => {
            let erasures = approvals.store.approval_erasures(approval.id).await?;
            let permission = Permission::approved(decision, &erasures);
            let accepted = accept(approvals, approval, permission).await?;
            Ok(ApprovedEffect::Erasures(accepted))
        }
        Action::SetMinimum(_) | Action::SetPolicy { .. } => {
            set(approvals, approval, decision).await?;
            Ok(ApprovedEffect::Settings)
        }
        Action::ConfirmClock => {
            let confirmed = approvals.keeper.confirm_clock(Some(decision)).await;
            let confirmed = confirmed.map_err(not_set)?;
            // The clock was not in doubt any more, so nothing was confirmed.
            confirmed.was.ok_or(NotDone::Outdated)?;
            Ok(ApprovedEffect::Clock(Some(confirmed)))
        }
        Action::MoveHsm => {
            approvals
                .keeper
                .move_hsm(Some(decision))
                .await
                .map_err(not_set)?;
            Ok(ApprovedEffect::HsmMove)
        }
    }
}

/// Accepts the erasures that waited. Those that were accepted before stay as they are.
async fn accept(
    approvals: &Approvals,
    approval: &Approval,
    permission: Permission,
) -> Result<Vec<Result<ErasureAnswer, AcceptError>>, NotDone> {
    let erasures = approvals.store.approval_erasures(approval.id).await?;
    let keyspace = approval.keyspace_name().ok_or(NotDone::Outdated)?;
    let requests = erasures
        .into_iter()
        .map(|it| ErasureRequest::Prepared(Box::new(it)));
    let acceptor = &approvals.acceptor;
    let accepted = acceptor.accept_permitted(keyspace.clone(), requests.collect(), permission);
    let accepted = accepted
        .await
        .map_err(|error| NotDone::Failed(Box::new(error.into())))?;
    if accepted.iter().any(Result::is_ok) {
        return Ok(accepted);
    }
    let errors = accepted.into_iter().filter_map(Result::err);
    let reasons = errors.map(|error| match error {
        AcceptError::NotWaiting => NotDone::NotWaiting,
        error if is_temporary(&error) => NotDone::Failed(Box::new(error.into())),
        _ => NotDone::Outdated,
    });
    // While one of them may still succeed the approval does not end.
    let mut reasons: Vec<NotDone> = reasons.collect();
    let first = reasons
        .iter()
        .position(|it| !matches!(it, NotDone::Outdated));
    Err(first.map_or(NotDone::Outdated, |first| reasons.swap_remove(first)))
}

async fn set(
    approvals: &Approvals,
    approval: &Approval,
    decision: ApprovalDecision,
) -> Result<(), NotDone> {
    let scope = approval.scope.as_ref().ok_or(NotDone::Outdated)?;
    let (policy, expected, minimum_version) = match approval.action {
        Action::SetPolicy { from, to } => (Some(to), Some(from), None),
        Action::SetMinimum(minimum) => (None, None, Some(minimum)),
        _ => (None, None, None),
    };
    let settings = Settings {
        keyspace: Some(scope.id),
        policy,
        expected,
        minimum_version,
        approval: Some(decision),
    };
    let put = approvals.keeper.put_keyspace(scope.name.clone(), settings);
    put.await.map(drop).map_err(not_set)
}

fn not_set(error: KeeperError) -> NotDone {
    match error {
        KeeperError::NotWaiting => NotDone::NotWaiting,
        KeeperError::UnknownKeyspace
        | KeeperError::BeingErased
        | KeeperError::MinimumVersion
        | KeeperError::Outdated => NotDone::Outdated,
        error => NotDone::Failed(Box::new(ApproveError::Keeper(error))),
    }
}

/// Whether the erasure may be accepted when the call is sent again.
const fn is_temporary(error: &AcceptError) -> bool {
    matches!(
        error,
        AcceptError::Store(_)
            | AcceptError::Busy
            | AcceptError::Key(KeyError::Pending | KeyError::Missing(_) | KeyError::Entropy(_))
    )
}
