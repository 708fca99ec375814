use std::sync::Arc;

use lethe_core::approval::{Action, ApprovalDecision};
use lethe_core::batch::BatchError;
use lethe_core::clock::{Doubt, Mark};
use lethe_core::ports::Effect;

use super::handle::{ClockConfirmed, KeeperError};
use super::keeper::Keeper;

impl Keeper {
    /// An operator confirms the wall clock. The confirmation is written to the store before the service uses
    /// that time. If the HSM answers, the buckets for that time exist when this returns.
    pub(super) async fn confirm_clock(
        &mut self,
        approval: Option<&ApprovalDecision>,
    ) -> Result<ClockConfirmed, KeeperError> {
        let node = Arc::clone(&self.handles.node);
        let was = node.check_clock();
        let confirmed = node.clock.confirmation();
        // If the clock is ahead, keys would be destroyed before they expire. It may have jumped since the check, and
        // a doubt of the start hides a jump, so what is confirmed counts too.
        let ahead = was == Some(Doubt::Ahead) || node.clock.leaps(confirmed);
        if ahead && self.handles.permissions.required() && approval.is_none() {
            let action = Box::new(Action::ConfirmClock);
            return Err(KeeperError::NeedsApproval(action, None));
        }
        if was.is_some() {
            let mark = node.clock.mark_of(confirmed);
            self.write_confirmation(&mark, approval).await?;
            node.clock.adopt(confirmed);
            tracing::warn!(
                time_ms = confirmed.time.as_millis(),
                lag_ms = u64::try_from(confirmed.lag.as_millis()).unwrap_or(u64::MAX),
                "an operator confirmed the wall clock"
            );
            node.check_clock();
            if let Err(error) = self.make_buckets().await {
                tracing::warn!(%error, "no buckets for the confirmed time yet; trying again");
            }
        }
        Ok(ClockConfirmed {
            was,
            now: node.now(),
            lag: confirmed.lag,
        })
    }

    async fn write_confirmation(
        &self,
        mark: &Mark,
        approval: Option<&ApprovalDecision>,
    ) -> Result<(), KeeperError> {
        let Some(decision) = approval else {
            let written = self.ports.store.confirm_clock(mark).await;
            return Ok(written.map_err(BatchError::from)?);
        };
        let store = &self.handles.permissions.store;
        let approved = store.approve(decision, Effect::Clock(mark)).await;
        let approved = approved.map_err(BatchError::from)?;
        approved.map(drop).ok_or(KeeperError::NotWaiting)
    }
}
