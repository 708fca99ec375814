//! What becomes of approvals by themselves: they expire, a second word that was written down is
//! carried out though the process died, and old ones are forgotten.

use std::sync::Arc;
use std::time::Duration;

use lethe_core::approval::{Act, Approval, ApprovalId, ApprovalState};
use lethe_core::ports::StoreError;
use lethe_core::time::Timestamp;

use super::MOST;
use super::carry_out::go_on;
use super::end::{ended, lapse, settle_all};
use crate::service::Service;

const PAUSE: Duration = Duration::from_secs(1);
/// A call that gave the second word carries it out itself, in so many milliseconds.
const UNDER_WAY: u64 = 15_000;
/// Rounds between two that forget.
const FORGET_EVERY: u32 = 60;

/// Who makes an approved act come true, and may keep its caller waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Through {
    /// The store alone.
    Acceptor,
    /// The HSM as well, for as long as that hangs.
    Keeper,
}

impl Through {
    const fn of(act: Act) -> Self {
        match act {
            Act::Shred { .. } | Act::EraseKeyspace | Act::DropVersion(_) => Self::Acceptor,
            Act::RaiseMinimum(_) => Self::Keeper,
        }
    }
}

/// Goes on until it is dropped. What waits for the HSM keeps nothing else from its time.
pub async fn sweep(service: Arc<Service>, keep: Duration) {
    tokio::join!(
        end_in_time(&service, keep),
        carry_out(&service, Through::Acceptor),
        carry_out(&service, Through::Keeper),
    );
}

async fn end_in_time(service: &Service, keep: Duration) {
    for round in 0_u32.. {
        // The store says itself that it is away; the next round tries again.
        let settled = settle_all(service).await;
        if let Err(error) = settled.and(end_those_over(service).await) {
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

async fn end_those_over(service: &Service) -> Result<(), StoreError> {
    let now = service.now();
    let (mut waiting, mut result) = (0, Ok(()));
    for approval in all(service, ApprovalState::Waiting).await? {
        match ended(service, &approval, now) {
            None => waiting += 1,
            // The store has just been asked to take it.
            Some(_) if service.approvals.ending(approval.id).is_some() => {}
            Some(to) => result = result.and(lapse(service, &approval, to).await),
        }
    }
    service.metrics.waiting_approvals.set(waiting);
    result
}

/// One at a time: keeper and acceptor do no more either.
async fn carry_out(service: &Service, through: Through) {
    loop {
        if let Err(error) = carry_out_those_given(service, through).await {
            tracing::debug!(%error, "approvals were not looked through");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn carry_out_those_given(service: &Service, through: Through) -> Result<(), StoreError> {
    for approval in all(service, ApprovalState::Given).await? {
        let now = service.now();
        let given = approval.second.as_ref().map_or(now, |second| second.at);
        if Through::of(approval.act) != through || given.saturating_add(UNDER_WAY) > now {
            continue;
        }
        // A call may be at it still.
        let Some(_turn) = service.approvals.carrying.at_once(approval.id) else {
            continue;
        };
        match go_on(service, approval.id).await {
            Ok(_) => tracing::info!(approval = %approval.id, "what was approved is carried out"),
            Err(error) => {
                tracing::warn!(approval = %approval.id, %error, "not carried out yet");
            }
        }
    }
    Ok(())
}

async fn all(service: &Service, state: ApprovalState) -> Result<Vec<Approval>, StoreError> {
    let store = &service.approvals.store;
    store.approvals(state, ApprovalId::FIRST, MOST).await
}
