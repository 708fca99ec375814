//! The sweep: it ends approvals that are due, writes audit records that a crash prevented, and deletes old
//! approvals.

use std::sync::Arc;
use std::time::Duration;

use lethe_core::approval::ApprovalId;
use lethe_core::ports::StoreError;
use lethe_core::time::Timestamp;

use super::end::{due_end, end};
use super::record::record;
use super::{Approvals, MAX_WAITING};

/// The time between two rounds.
const PAUSE: Duration = Duration::from_secs(1);
/// The caller that changes an approval has so many milliseconds to write the record itself.
const RECORD_TIME: u64 = 15_000;
/// Old approvals are deleted every so many rounds.
const FORGET_EVERY: u32 = 60;

/// Runs until it is dropped.
pub async fn sweep(approvals: Arc<Approvals>, keep: Duration) {
    // No caller of this process has changed one yet.
    let mut unrecorded_before = approvals.node.now();
    for round in 0_u32.. {
        // The store logs its own outages; the next round tries again.
        if let Err(error) = sweep_once(&approvals, unrecorded_before).await {
            tracing::debug!(%error, "the sweep of approvals failed");
        }
        // While the clock is in doubt nothing is deleted because of its age.
        if round % FORGET_EVERY == 0 && approvals.node.clock.doubt().is_none() {
            let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
            let before = earlier(approvals.node.now(), keep);
            while let Ok(true) = approvals.store.forget_approvals(before).await {}
            // The next round tries again.
            let _ = approvals.permissions.tidy(approvals.node.now()).await;
        }
        tokio::time::sleep(PAUSE).await;
        unrecorded_before = unrecorded_before.max(earlier(approvals.node.now(), RECORD_TIME));
    }
}

async fn sweep_once(approvals: &Approvals, unrecorded_before: Timestamp) -> Result<(), StoreError> {
    let store = &approvals.store;
    let now = approvals.node.now();
    let waiting = store
        .waiting_approvals(ApprovalId::FIRST, MAX_WAITING)
        .await?;
    let mut still_waiting = 0;
    for approval in waiting {
        match due_end(approvals, &approval, now) {
            None => still_waiting += 1,
            Some(due) => drop(end(approvals, approval, due, None).await?),
        }
    }
    approvals.metrics.waiting_approvals.set(still_waiting);
    let unrecorded = store.unrecorded_approvals(unrecorded_before, MAX_WAITING);
    for approval in unrecorded.await? {
        record(approvals, &approval).await;
    }
    Ok(())
}

fn earlier(time: Timestamp, millis: u64) -> Timestamp {
    Timestamp::from_millis(time.as_millis().saturating_sub(millis))
}
