//! A second operator's approval, and what it does: both in one transaction of the store.

use lethe_core::approval::{
    Action, Approval, ApprovalDecision, ApprovalState, Decision, End, Void,
};
use lethe_core::keyring::KeyError;
use lethe_core::ports::StoreError;
use lethe_core::receipt::ErasureId;

use super::end::{due_end, end};
use super::record::changed;
use super::{Permission, superseding_erase};
use crate::erasure::{AcceptError, ErasureAnswer, ErasureRequest};
use crate::leader::{ClockConfirmed, KeeperError, Settings};
use crate::service::Service;

/// It is approved, and done.
pub struct Approved {
    /// What it was.
    pub approval: Approval,
    /// What was done.
    pub outcome: Outcome,
}

/// What an approval did.
pub enum Outcome {
    /// What became of each erasure, in order.
    Erasures(Vec<Result<ErasureAnswer, AcceptError>>),
    /// A keyspace's settings are set.
    Settings,
    /// The clock is confirmed; none where that was done before.
    Clock(Option<ClockConfirmed>),
    /// The move to the other HSM has begun.
    HsmMove,
}

/// Why it was not approved.
#[derive(Debug, thiserror::Error)]
pub enum ApproveError {
    /// The one who asked, by name or by key.
    #[error("a second operator has to approve, with another name and another key")]
    Own,
    /// Withdrawn before.
    #[error("it was withdrawn: it has to be asked for again")]
    Withdrawn,
    /// The keyspace is gone, or going, with all that is in it.
    #[error(
        "its keyspace is erased, and what it was for is forgotten with it{}",
        .0.map(|id| format!(": see request {id}")).unwrap_or_default()
    )]
    Superseded(Option<ErasureId>),
    /// Nobody approved it in time.
    #[error("it has expired: it has to be asked for again")]
    Expired,
    /// Who asked may not ask any more.
    #[error("it is void: who asked for it may not do that any more")]
    AskerGone,
    /// What it was for is gone, or has changed.
    #[error("it cannot be done any more: ask again, where it still is to be done")]
    Outdated,
    /// It was approved before, and what is known of its erasures is forgotten.
    #[error("it was approved and done, so long ago that nothing more is known of it")]
    Forgotten,
    /// Nothing has changed for certain. Sent again it does no harm.
    #[error(transparent)]
    Keeper(KeeperError),
    /// Nothing is accepted for certain. Sent again it does no harm.
    #[error(transparent)]
    AcceptError(#[from] AcceptError),
}

impl From<StoreError> for ApproveError {
    fn from(error: StoreError) -> Self {
        Self::AcceptError(error.into())
    }
}

/// Why it was not done now.
enum NotDone {
    /// Somebody else was faster.
    NotWaiting,
    /// It cannot be done any more.
    Outdated,
    Failed(Box<ApproveError>),
}

impl From<StoreError> for NotDone {
    fn from(error: StoreError) -> Self {
        Self::Failed(Box::new(error.into()))
    }
}

/// Approves it and does what it was for. Twice is once.
///
/// # Errors
/// [`ApproveError`].
pub async fn approve(
    service: &Service,
    approval: Approval,
    decision: Decision,
) -> Result<Approved, ApproveError> {
    if !decision.by.is_another_than(&approval.asked_by) {
        return Err(ApproveError::Own);
    }
    if approval.state != ApprovalState::Waiting {
        return approved_before(service, approval).await;
    }
    if let Some(due) = due_end(service, &approval, decision.at) {
        let approval = end(service, approval, due, None).await?;
        return approved_before(service, approval).await;
    }
    let given = ApprovalDecision {
        id: approval.id,
        decision,
    };
    match carry_out(service, &approval, given.clone()).await {
        Ok(outcome) => {
            let approval = Approval {
                state: ApprovalState::Approved,
                decision: Some(given.decision),
                ..approval
            };
            changed(service, &approval).await;
            Ok(Approved { approval, outcome })
        }
        Err(NotDone::Failed(error)) => Err(*error),
        Err(NotDone::Outdated) => {
            let now = service.now();
            let due = due_end(service, &approval, now);
            let due = due.unwrap_or(End::Void(Void::Outdated));
            let approval = end(service, approval, due, None).await?;
            approved_before(service, approval).await
        }
        Err(NotDone::NotWaiting) => {
            let present = service.approvals.store.approval(approval.id).await?;
            approved_before(service, present.unwrap_or(approval)).await
        }
    }
}

/// The answer where it does not wait any more.
async fn approved_before(service: &Service, approval: Approval) -> Result<Approved, ApproveError> {
    match approval.state {
        ApprovalState::Approved => {}
        // Nobody sees it so: it waited no more.
        ApprovalState::Waiting => return Err(AcceptError::Busy.into()),
        ApprovalState::Ended(End::Expired) => return Err(ApproveError::Expired),
        ApprovalState::Ended(End::Withdrawn) => return Err(ApproveError::Withdrawn),
        ApprovalState::Ended(End::Void(Void::AskerGone)) => return Err(ApproveError::AskerGone),
        ApprovalState::Ended(End::Void(Void::Outdated)) => return Err(ApproveError::Outdated),
        ApprovalState::Ended(End::Void(Void::KeyspaceGone)) => {
            let erase = superseding_erase(service, &approval).await?;
            return Err(ApproveError::Superseded(erase));
        }
    }
    let outcome = match approval.action {
        Action::SetMinimum(_) | Action::SetPolicy { .. } => Outcome::Settings,
        Action::ConfirmClock => Outcome::Clock(None),
        Action::MoveHsm => Outcome::HsmMove,
        Action::Shred { .. } | Action::EraseKeyspace | Action::DropVersion(_) => {
            // Known, or forgotten meanwhile: nothing is new.
            let accepted = accept(service, &approval, Permission::for_nothing_new()).await;
            let accepted = accepted.map_err(|error| match error {
                NotDone::Failed(error) => *error,
                NotDone::NotWaiting | NotDone::Outdated => ApproveError::Forgotten,
            })?;
            Outcome::Erasures(accepted)
        }
    };
    Ok(Approved { approval, outcome })
}

async fn carry_out(
    service: &Service,
    approval: &Approval,
    given: ApprovalDecision,
) -> Result<Outcome, NotDone> {
    match approval.action {
        Action::Shred { .. } | Action::EraseKeyspace | Action::DropVersion(_) => {
            let erasures = service
                .approvals
                .store
                .approval_erasures(approval.id)
                .await?;
            let permission = Permission::approved(given, &erasures);
            let accepted = accept(service, approval, permission).await?;
            Ok(Outcome::Erasures(accepted))
        }
        Action::SetMinimum(_) | Action::SetPolicy { .. } => {
            set(service, approval, given).await?;
            Ok(Outcome::Settings)
        }
        Action::ConfirmClock => {
            let confirmed = service.keeper.confirm_clock(Some(given)).await;
            let confirmed = confirmed.map_err(not_set)?;
            // Nothing was doubted any more, and nothing confirmed.
            confirmed.was.ok_or(NotDone::Outdated)?;
            Ok(Outcome::Clock(Some(confirmed)))
        }
        Action::MoveHsm => {
            service
                .keeper
                .move_hsm(Some(given))
                .await
                .map_err(not_set)?;
            Ok(Outcome::HsmMove)
        }
    }
}

/// Accepts the erasures that waited; those that are accepted already stay as they are.
async fn accept(
    service: &Service,
    approval: &Approval,
    permission: Permission,
) -> Result<Vec<Result<ErasureAnswer, AcceptError>>, NotDone> {
    let erasures = service
        .approvals
        .store
        .approval_erasures(approval.id)
        .await?;
    let keyspace = approval.keyspace_name().ok_or(NotDone::Outdated)?;
    let requests = erasures
        .into_iter()
        .map(|it| ErasureRequest::Prepared(Box::new(it)));
    let acceptor = &service.acceptor;
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
        error if is_passing(&error) => NotDone::Failed(Box::new(error.into())),
        _ => NotDone::Outdated,
    });
    // One that may pass keeps the whole from ending.
    let mut reasons: Vec<NotDone> = reasons.collect();
    let first = reasons
        .iter()
        .position(|it| !matches!(it, NotDone::Outdated));
    Err(first.map_or(NotDone::Outdated, |first| reasons.swap_remove(first)))
}

async fn set(
    service: &Service,
    approval: &Approval,
    given: ApprovalDecision,
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
        approval: Some(given),
    };
    let put = service.keeper.put_keyspace(scope.name.clone(), settings);
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

/// Whether it may be accepted a moment later.
const fn is_passing(error: &AcceptError) -> bool {
    matches!(
        error,
        AcceptError::Store(_)
            | AcceptError::Busy
            | AcceptError::Key(KeyError::Pending | KeyError::Missing(_) | KeyError::Entropy(_))
    )
}
