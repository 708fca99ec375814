//! What becomes of approvals by themselves: they expire, a second word that was written down is
//! carried out though the process died, and old ones are forgotten.

use std::sync::Arc;
use std::time::Duration;

use lethe_core::approval::{Approval, ApprovalId, ApprovalState};
use lethe_core::audit::{Event, Record};
use lethe_core::ports::StoreError;
use lethe_core::time::Timestamp;

use super::carry_out::carry_out;
use super::{MOST, lives};
use crate::service::Service;

const PAUSE: Duration = Duration::from_secs(1);
/// A call that gave the second word carries it out itself, in so many milliseconds.
const UNDER_WAY: u64 = 15_000;
/// Rounds between two that forget.
const FORGET_EVERY: u32 = 60;

/// Goes on until it is dropped.
pub async fn sweep(service: Arc<Service>, keep: Duration) {
    for round in 0_u32.. {
        // The store says itself that it is away; the next round tries again.
        if let Err(error) = look(&service).await {
            tracing::debug!(%error, "approvals were not looked through");
        }
        // What goes because of the time waits while the time is doubted.
        if round % FORGET_EVERY == 0 && service.clock.doubt().is_none() {
            let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
            let before = service.now().as_millis().saturating_sub(keep);
            let before = Timestamp::from_millis(before);
            while let Ok(true) = service.approvals.store.forget_approvals(before).await {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn look(service: &Service) -> Result<(), StoreError> {
    let now = service.now();
    let all = async |state| {
        let store = &service.approvals.store;
        store.approvals(state, ApprovalId::FIRST, MOST).await
    };
    let mut waiting = 0;
    for approval in all(ApprovalState::Waiting).await? {
        if !lives(service, &approval) {
            void(service, &approval).await?;
        } else if approval.expires_at <= now {
            expire(service, &approval).await?;
        } else {
            waiting += 1;
        }
    }
    service.metrics.waiting_approvals.set(waiting);
    for approval in all(ApprovalState::Given).await? {
        let given = approval.second.as_ref().map_or(now, |second| second.at);
        if given.saturating_add(UNDER_WAY) > now {
            continue;
        }
        let id = approval.id;
        match carry_out(service, approval).await {
            Ok(_) => tracing::info!(approval = %id, "what was approved is carried out"),
            Err(error) => tracing::warn!(approval = %id, %error, "not carried out yet"),
        }
    }
    Ok(())
}

async fn expire(service: &Service, approval: &Approval) -> Result<(), StoreError> {
    if end(service, approval, "expire_approval", ApprovalState::Expired).await? {
        service.metrics.approval("expired");
        tracing::warn!(
            approval = %approval.id, keyspace = %approval.keyspace_name,
            "nobody approved it in time"
        );
    }
    Ok(())
}

/// Its keyspace is gone or going, or what it was for is.
pub(super) async fn void(service: &Service, approval: &Approval) -> Result<(), StoreError> {
    if end(service, approval, "void_approval", ApprovalState::Void).await? {
        service.metrics.approval("void");
        tracing::warn!(
            approval = %approval.id, keyspace = %approval.keyspace_name,
            "what it was for cannot be done any more"
        );
    }
    Ok(())
}

/// On record first: without a record it waits for the next round, and counts no more all the same.
async fn end(
    service: &Service,
    approval: &Approval,
    operation: &'static str,
    to: ApprovalState,
) -> Result<bool, StoreError> {
    let id = approval.id.to_string();
    let record = Record::new(&Event {
        time: service.now(),
        request: &id,
        client: &approval.asked_by.client,
        operation,
        keyspace: Some(&approval.keyspace_name),
        outcome: "ok",
        keys: &[],
        refused: 0,
        requests: &[approval.id.as_request()],
    });
    if service.audit.append(record).await.is_err() {
        return Ok(false);
    }
    let store = &service.approvals.store;
    let from = approval.state;
    store.advance_approval(approval.id, from, to, None).await
}
