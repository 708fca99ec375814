//! What becomes of approvals by themselves: they end in time, what a death kept off the record goes on
//! it, and old ones are forgotten.

use std::sync::Arc;
use std::time::Duration;

use lethe_core::approval::ApprovalId;
use lethe_core::ports::StoreError;
use lethe_core::time::Timestamp;

use super::MOST;
use super::end::{due_end, end};
use super::record::record;
use crate::service::Service;

const PAUSE: Duration = Duration::from_secs(1);
/// Whoever changes an approval puts that on record himself, in so many milliseconds.
const UNDER_WAY: u64 = 15_000;
/// Rounds between two that forget.
const FORGET_EVERY: u32 = 60;

/// Goes on until it is dropped.
pub async fn sweep(service: Arc<Service>, keep: Duration) {
    // Nobody of this process has changed one yet.
    let mut unrecorded_before = service.now();
    for round in 0_u32.. {
        // The store says itself that it is away; the next round tries again.
        if let Err(error) = look_through(&service, unrecorded_before).await {
            tracing::debug!(%error, "approvals were not looked through");
        }
        // What goes because of the time waits while the time is doubted.
        if round % FORGET_EVERY == 0 && service.clock.doubt().is_none() {
            let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
            let before = earlier(service.now(), keep);
            while let Ok(true) = service.approvals.store.forget_approvals(before).await {}
            // The next time it is tried again.
            let _ = service.approvals.tidy(service.now()).await;
        }
        tokio::time::sleep(PAUSE).await;
        unrecorded_before = unrecorded_before.max(earlier(service.now(), UNDER_WAY));
    }
}

async fn look_through(service: &Service, unrecorded_before: Timestamp) -> Result<(), StoreError> {
    let store = &service.approvals.store;
    let now = service.now();
    let waiting = store.waiting_approvals(ApprovalId::FIRST, MOST).await?;
    let mut still_waiting = 0;
    for approval in waiting {
        match due_end(service, &approval, now) {
            None => still_waiting += 1,
            Some(due) => drop(end(service, approval, due, None).await?),
        }
    }
    service.metrics.waiting_approvals.set(still_waiting);
    let unrecorded = store.unrecorded_approvals(unrecorded_before, MOST);
    for approval in unrecorded.await? {
        record(service, &approval).await;
    }
    Ok(())
}

fn earlier(time: Timestamp, millis: u64) -> Timestamp {
    Timestamp::from_millis(time.as_millis().saturating_sub(millis))
}
