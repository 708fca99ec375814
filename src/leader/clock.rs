use lethe_core::approval::{Action, ApprovalDecision};
use lethe_core::batch::BatchError;
use lethe_core::clock::{Doubt, Mark};
use lethe_core::ports::Effect;

use super::handle::{ClockConfirmed, KeeperError};
use super::handles::Handles;
use super::keeper::Keeper;

impl Keeper {
    /// Looks whether the wall clock has jumped. Until somebody confirms it nothing is destroyed,
    /// dropped, tidied or rotated because of the time; what is accepted for forgetting goes on.
    pub(super) fn watch_clock(&mut self, handles: &Handles) {
        let before = handles.node.clock.doubt();
        let doubt = handles.node.clock.watch();
        let reading = handles.node.clock.reading();
        handles.metrics.clock(&reading, doubt.is_some());
        self.clock_is_sound = doubt.is_none();
        if let Some(doubt) = doubt
            && (before != Some(doubt) || !self.clock_was_said)
        {
            self.clock_was_said = true;
            tracing::error!(
                jump = doubt.name(),
                time_ms = reading.now.as_millis(),
                wall_clock_ms = reading.wall.as_millis(),
                "the wall clock is doubted: nothing is destroyed by the time until `lethe clock confirm`"
            );
        }
    }

    /// Somebody says that the wall clock is right: written down first, then gone by. The buckets
    /// of the time that it is then are ready when it answers, if the HSM is there.
    pub(super) async fn confirm_clock(
        &mut self,
        handles: &Handles,
        approval: Option<&ApprovalDecision>,
    ) -> Result<ClockConfirmed, KeeperError> {
        self.watch_clock(handles);
        let was = handles.node.clock.doubt();
        let confirmed = handles.node.clock.confirmation();
        // Ahead, keys would go before their time.
        if was == Some(Doubt::Ahead) && self.permissions.required() && approval.is_none() {
            let action = Box::new(Action::ConfirmClock);
            return Err(KeeperError::NeedsApproval(action, None));
        }
        if was.is_some() {
            let mark = handles.node.clock.mark_of(confirmed);
            self.write_confirmation(&mark, approval).await?;
            handles.node.clock.adopt(confirmed);
            self.clock_was_said = false;
            tracing::warn!(
                time_ms = confirmed.time.as_millis(),
                lag_ms = u64::try_from(confirmed.lag.as_millis()).unwrap_or(u64::MAX),
                "an operator confirmed the wall clock"
            );
            self.watch_clock(handles);
            if let Err(error) = self.make_buckets().await {
                tracing::warn!(%error, "no buckets for the confirmed time yet; trying again");
            }
        }
        Ok(ClockConfirmed {
            was,
            now: handles.node.now(),
            lag: confirmed.lag,
        })
    }

    async fn write_confirmation(
        &self,
        mark: &Mark,
        approval: Option<&ApprovalDecision>,
    ) -> Result<(), KeeperError> {
        let Some(given) = approval else {
            let written = self.ports.store.confirm_clock(mark).await;
            return Ok(written.map_err(BatchError::from)?);
        };
        let store = &self.permissions.store;
        let approved = store.approve(given, Effect::Clock(mark)).await;
        let approved = approved.map_err(BatchError::from)?;
        approved.map(drop).ok_or(KeeperError::NotWaiting)
    }
}
