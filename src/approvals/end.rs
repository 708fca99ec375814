//! How an approval ends, but by being carried out. The end is on record first, and what is on record
//! is so: whatever comes between, no second word counts any more, and the store hears it when it can.

use std::time::Duration;

use lethe_core::approval::{Approval, ApprovalId, ApprovalState, SecondWord};
use lethe_core::keyspace::KeyspaceName;
use lethe_core::ports::StoreError;
use lethe_core::time::Timestamp;

use super::lives;
use super::record::record;
use super::turns::Turn;
use crate::service::Service;

/// For the store, when the service stops.
const LAST_TRY: Duration = Duration::from_secs(5);

/// An end that is on record, and for all that is known not in the store.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    from: ApprovalState,
    to: ApprovalState,
    keyspace: KeyspaceName,
    /// Of who withdrew it.
    word: Option<SecondWord>,
}

/// Why it has not ended for certain.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotEnded {
    /// Nothing has changed.
    #[error("the audit log cannot be written")]
    NotRecorded,
    /// Where it is on record it ends when the store is back.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How one that waits has ended, though the store may not have it yet; none while it waits indeed.
#[must_use]
pub fn ended(service: &Service, approval: &Approval, now: Timestamp) -> Option<ApprovalState> {
    let ending = service.approvals.ending(approval.id);
    let on_record = ending.map(|ending| ending.to);
    on_record.or_else(|| due(service, approval, now))
}

/// How one that waits is to end now.
fn due(service: &Service, approval: &Approval, now: Timestamp) -> Option<ApprovalState> {
    if !lives(service, approval) {
        Some(ApprovalState::Void)
    } else if approval.expires_at <= now {
        Some(ApprovalState::Expired)
    } else {
        None
    }
}

/// As it stands by now, though the store may not have it yet.
#[must_use]
pub fn present(service: &Service, mut approval: Approval, now: Timestamp) -> Approval {
    if let Some(ending) = service.approvals.ending(approval.id) {
        approval.state = ending.to;
        approval.second = ending.word.or(approval.second);
    } else if approval.state == ApprovalState::Waiting {
        let due = due(service, &approval, now);
        approval.state = due.unwrap_or(approval.state);
    }
    approval
}

/// Ends it, unless somebody was faster; `word` where somebody withdrew it.
pub(super) async fn end(
    service: &Service,
    approval: &Approval,
    to: ApprovalState,
    word: Option<&SecondWord>,
) -> Result<(), NotEnded> {
    let approvals = &service.approvals;
    let turn = approvals.changes.wait(approval.id).await;
    if approvals.ending(approval.id).is_none() {
        let present = approvals.store.approval(approval.id).await?;
        if present.is_none_or(|it| it.state != approval.state) {
            return Ok(());
        }
        let requests = approvals.store.approval_requests(approval.id).await?;
        let recorded = record(service, approval, &requests, operation(to), word);
        recorded.await.map_err(|_| NotEnded::NotRecorded)?;
        let ending = Ending {
            from: approval.state,
            to,
            keyspace: approval.keyspace_name.clone(),
            word: word.cloned(),
        };
        approvals.endings.lock().insert(approval.id, ending);
    }
    Ok(settle(service, approval.id, &turn).await?)
}

/// Ends it without a word of anybody. Without a record it ends later, and counts no more all the same.
pub(super) async fn lapse(
    service: &Service,
    approval: &Approval,
    to: ApprovalState,
) -> Result<(), StoreError> {
    match end(service, approval, to, None).await {
        Ok(()) | Err(NotEnded::NotRecorded) => Ok(()),
        Err(NotEnded::Store(error)) => Err(error),
    }
}

/// Its keyspace is gone or going, or what it was for is.
pub(super) async fn void(service: &Service, approval: &Approval) -> Result<(), StoreError> {
    lapse(service, approval, ApprovalState::Void).await
}

/// Brings to the store what is on record.
pub(super) async fn settle(
    service: &Service,
    id: ApprovalId,
    _changes: &Turn,
) -> Result<(), StoreError> {
    let approvals = &service.approvals;
    let Some(ending) = approvals.ending(id) else {
        return Ok(());
    };
    let Ending { from, to, word, .. } = &ending;
    let store = &approvals.store;
    let advanced = store.advance_approval(id, *from, *to, word.as_ref());
    // False when an earlier try had come through, and was not heard of.
    advanced.await?;
    approvals.endings.lock().remove(&id);
    approvals.recorded.lock().remove(&id);
    tell(service, id, &ending);
    Ok(())
}

/// Brings to the store all that is on record, as far as it takes changes.
pub(super) async fn settle_all(service: &Service) -> Result<(), StoreError> {
    let approvals = &service.approvals;
    let ids: Vec<_> = approvals.endings.lock().keys().copied().collect();
    let mut result = Ok(());
    for id in ids {
        let turn = approvals.changes.wait(id).await;
        result = result.and(settle(service, id, &turn).await);
    }
    result
}

/// For the end of the process: what the store does not take now waits again after the next start.
pub async fn settle_last(service: &Service) {
    let settled = tokio::time::timeout(LAST_TRY, settle_all(service)).await;
    if let Ok(Ok(())) = settled {
        return;
    }
    for (approval, ending) in &*service.approvals.endings.lock() {
        tracing::warn!(
            %approval, keyspace = %ending.keyspace,
            "its end is on record, and the store did not take it: it waits again"
        );
    }
}

const fn operation(to: ApprovalState) -> &'static str {
    match to {
        ApprovalState::Expired => "expire_approval",
        ApprovalState::Withdrawn => "take_back_approval",
        _ => "void_approval",
    }
}

fn tell(service: &Service, approval: ApprovalId, ending: &Ending) {
    let (outcome, what) = match ending.to {
        ApprovalState::Expired => ("expired", "nobody approved it in time"),
        ApprovalState::Withdrawn => (
            "withdrawn",
            "what waited for a second operator was withdrawn",
        ),
        _ => ("void", "what it was for cannot be done any more"),
    };
    service.metrics.approval(outcome);
    let client = ending.word.as_ref().map(|word| &*word.by.client);
    tracing::warn!(%approval, keyspace = %ending.keyspace, client, "{what}");
}
