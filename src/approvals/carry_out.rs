//! The second word, and what it sets going.

use lethe_core::approval::{Act, Approval, ApprovalId, ApprovalState, SecondWord};
use lethe_core::keyring::KeyError;
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::StoreError;
use lethe_core::receipt::RequestId;
use lethe_core::request::Request;

use super::end::{ended, settle, void};
use super::minimum::raise;
use super::record::record;
use super::{Permission, covered_by, lives};
use crate::forgetting::{Admitted, NotAccepted, Wanted};
use crate::jobs::KeeperError;
use crate::service::Service;

/// It is carried out.
pub struct Given {
    /// What it was.
    pub approval: Approval,
    /// What became of each request, in order.
    pub admitted: Vec<Result<Admitted, NotAccepted>>,
}

/// Why it was not.
#[derive(Debug, thiserror::Error)]
pub enum NotGiven {
    /// The one who asked, by name or by key.
    #[error("a second operator has to approve, with a name and a key of his own")]
    Own,
    /// Taken back before.
    #[error("it was withdrawn: it has to be asked for again")]
    Withdrawn,
    /// The keyspace is gone, or going, with all that is in it.
    #[error(
        "its keyspace is erased, and what it was for is forgotten with it{}",
        .0.map(|id| format!(": see request {id}")).unwrap_or_default()
    )]
    Covered(Option<RequestId>),
    /// Nothing is done without a record; the second word holds if it was written down.
    #[error("the audit log cannot be written")]
    NotRecorded,
    /// Nobody gave it in time.
    #[error("it has expired: it has to be asked for again")]
    Expired,
    /// What it was for is gone, or has changed.
    #[error("it cannot be done any more: ask again, where it still is to be done")]
    Void,
    /// The keyspace's settings are not changed for certain; the second word holds if it was written
    /// down.
    #[error(transparent)]
    NotSet(#[from] KeeperError),
    /// Nothing is accepted for certain; the second word holds if it was written down.
    #[error(transparent)]
    NotAccepted(#[from] NotAccepted),
}

impl From<StoreError> for NotGiven {
    fn from(error: StoreError) -> Self {
        Self::NotAccepted(error.into())
    }
}

/// Takes the second word, and carries it out. Twice is once.
///
/// # Errors
/// [`NotGiven`].
pub async fn give(
    service: &Service,
    approval: Approval,
    second: SecondWord,
) -> Result<Given, NotGiven> {
    if !second.by.is_another_than(&approval.asked_by) {
        return Err(NotGiven::Own);
    }
    if approval.state == ApprovalState::Waiting {
        match ended(service, &approval, second.at) {
            None => write_down(service, &approval, &second).await?,
            Some(ApprovalState::Void) => {
                void(service, &approval).await?;
                return Err(over(service, &approval).await?);
            }
            Some(ApprovalState::Withdrawn) => return Err(NotGiven::Withdrawn),
            Some(_) => return Err(NotGiven::Expired),
        }
    }
    let _turn = service.approvals.carrying.wait(approval.id).await;
    go_on(service, approval.id).await
}

/// The second word is durable before anything is done, unless the approval ended before.
async fn write_down(
    service: &Service,
    approval: &Approval,
    second: &SecondWord,
) -> Result<(), StoreError> {
    let approvals = &service.approvals;
    let turn = approvals.changes.wait(approval.id).await;
    settle(service, approval.id, &turn).await?;
    let (from, to) = (ApprovalState::Waiting, ApprovalState::Given);
    let store = &approvals.store;
    let given = store.advance_approval(approval.id, from, to, Some(second));
    if given.await? {
        service.metrics.approval("approved");
        tracing::warn!(
            approval = %approval.id, keyspace = %approval.keyspace_name,
            client = %second.by.client, "a second operator approved"
        );
    }
    Ok(())
}

/// Carries out what was approved, as it is by now: somebody else may have been faster, or its time.
/// For who has its turn to carry it out.
pub(super) async fn go_on(service: &Service, id: ApprovalId) -> Result<Given, NotGiven> {
    let approvals = &service.approvals;
    let turn = approvals.changes.wait(id).await;
    settle(service, id, &turn).await?;
    let approval = approvals.store.approval(id).await?;
    drop(turn);
    let approval = approval.ok_or(NotGiven::Expired)?;
    match approval.state {
        ApprovalState::Waiting | ApprovalState::Expired => Err(NotGiven::Expired),
        ApprovalState::Withdrawn => Err(NotGiven::Withdrawn),
        ApprovalState::Void => Err(over(service, &approval).await?),
        ApprovalState::Done => {
            approvals.recorded.lock().remove(&id);
            carry_out(service, approval).await
        }
        ApprovalState::Given => carry_out(service, approval).await,
    }
}

/// Accepts the requests that waited; those that are accepted already stay as they are.
async fn carry_out(service: &Service, approval: Approval) -> Result<Given, NotGiven> {
    let store = &service.approvals.store;
    let requests = store.approval_requests(approval.id).await?;
    if requests.is_empty() && !matches!(approval.act, Act::RaiseMinimum(_)) {
        // Somebody else found that it cannot be done, and they went with it.
        return Err(over(service, &approval).await?);
    }
    if approval.state == ApprovalState::Given {
        record_once(service, &approval, &requests).await?;
    }
    if let Act::RaiseMinimum(minimum) = approval.act {
        return carry_out_raise(service, approval, minimum).await;
    }
    let permission = Permission::approved(&requests);
    let wanted = requests
        .into_iter()
        .map(|it| Wanted::Prepared(Box::new(it)));
    let keyspace = approval.keyspace_name.clone();
    let acceptor = &service.acceptor;
    let accepted = acceptor.accept_permitted(keyspace, wanted.collect(), permission);
    let admitted = accepted.await?;
    let passing = admitted.iter().any(|it| it.as_ref().is_err_and(is_passing));
    if approval.state == ApprovalState::Given && !passing {
        if admitted.iter().any(Result::is_ok) {
            done(service, &approval).await?;
        } else {
            void(service, &approval).await?;
            if !lives(service, &approval) {
                return Err(over(service, &approval).await?);
            }
        }
    }
    Ok(Given { approval, admitted })
}

async fn carry_out_raise(
    service: &Service,
    approval: Approval,
    minimum: KeyVersion,
) -> Result<Given, NotGiven> {
    if approval.state == ApprovalState::Given {
        match raise(service, &approval, minimum).await {
            Ok(()) => done(service, &approval).await?,
            Err(KeeperError::UnknownKeyspace | KeeperError::BeingErased) => {
                void(service, &approval).await?;
                return Err(over(service, &approval).await?);
            }
            Err(error) => return Err(error.into()),
        }
    }
    let admitted = Vec::new();
    Ok(Given { approval, admitted })
}

async fn done(service: &Service, approval: &Approval) -> Result<(), StoreError> {
    let approvals = &service.approvals;
    let (from, to) = (ApprovalState::Given, ApprovalState::Done);
    let advanced = approvals
        .store
        .advance_approval(approval.id, from, to, None);
    advanced.await?;
    approvals.recorded.lock().remove(&approval.id);
    Ok(())
}

/// Who asked for what, and who approved it, goes on record before it is done: the call that brought
/// the second word may have died before its own record.
async fn record_once(
    service: &Service,
    approval: &Approval,
    requests: &[Request],
) -> Result<(), NotGiven> {
    let recorded = &service.approvals.recorded;
    if recorded.lock().contains(&approval.id) {
        return Ok(());
    }
    let second = approval.second.as_ref().ok_or(NotGiven::Void)?;
    let appended = record(
        service,
        approval,
        requests,
        "carry_out_approval",
        Some(second),
    );
    appended.await.map_err(|_| NotGiven::NotRecorded)?;
    recorded.lock().insert(approval.id);
    Ok(())
}

/// Why one that is void is.
async fn over(service: &Service, approval: &Approval) -> Result<NotGiven, StoreError> {
    let covered_by = covered_by(service, approval).await?;
    Ok(if lives(service, approval) {
        NotGiven::Void
    } else {
        NotGiven::Covered(covered_by)
    })
}

/// Whether it may be accepted a moment later.
const fn is_passing(error: &NotAccepted) -> bool {
    matches!(
        error,
        NotAccepted::Store(_)
            | NotAccepted::Busy
            | NotAccepted::Key(KeyError::Pending | KeyError::Missing(_) | KeyError::Entropy(_))
    )
}
