//! The work of the keeper twice a second, and at the next expiry.

use std::time::Duration;

use lethe_core::batch::{BatchError, Halt};
use lethe_core::time::Timestamp;

use super::keeper::Keeper;
use crate::node::upkeep::{TICK, check_rows};

/// The time between two deletions of old rows, in milliseconds.
const TIDY_INTERVAL: u64 = 10_000;
/// The most transactions of one deletion of old rows.
const TIDY_ROUNDS: usize = 20;

impl Keeper {
    pub(super) fn tick_is_due(&self) -> bool {
        let since = self
            .ports
            .clock
            .since_boot()
            .saturating_sub(self.due.last_tick);
        since >= TICK.min(self.until_expiry())
    }

    /// Does what is due because of the time, and checks whether store and HSM work.
    pub(super) async fn tick(&mut self) -> Result<(), Halt> {
        self.due.last_tick = self.ports.clock.since_boot();
        // The node halts for an altered row, too. The check here comes before anything is destroyed.
        check_rows(self.ports.store.as_ref())?;
        self.reap().await?;
        let done = self.maintain().await;
        let works = done.is_ok();
        self.record_result(done)?;
        if works {
            self.rotate_due().await?;
        }
        Ok(())
    }

    /// Recovers after an error, makes the buckets that are needed, and deletes old rows.
    pub(super) async fn maintain(&mut self) -> Result<(), BatchError> {
        let recovered = self.recover().await;
        if recovered.is_ok() {
            // Shreds need no buckets.
            self.due.paused = false;
            self.adjust_times().await?;
        }
        // Buckets need no batch: keys are issued while a copy of the store is away.
        self.make_buckets().await?;
        recovered?;
        self.tidy().await?;
        if self.due.check_hsm {
            let hsm = self.ports.hsm.as_ref();
            self.handles.node.check_hsm(hsm).await?;
            self.due.check_hsm = false;
        }
        Ok(())
    }

    /// The time until the next tick.
    pub(super) fn pause(&self) -> Duration {
        let since = self
            .ports
            .clock
            .since_boot()
            .saturating_sub(self.due.last_tick);
        TICK.min(self.until_expiry()).saturating_sub(since)
    }

    /// The time until the next expiry. A bucket that is overdue is tried again at the next tick.
    fn until_expiry(&self) -> Duration {
        let now = self.ports.clock.now().as_millis();
        let due = self
            .buckets
            .next_expiry()
            .map_or(0, |expiry| expiry.instant().as_millis().saturating_sub(now));
        if due == 0 {
            TICK
        } else {
            Duration::from_millis(due)
        }
    }

    /// Deletes some rows of dropped trees, and some receipts that were kept long enough.
    async fn tidy(&mut self) -> Result<(), BatchError> {
        let now = self.ports.clock.now().as_millis();
        if now < self.due.last_tidy.as_millis() + TIDY_INTERVAL
            || self.handles.node.check_clock().is_some()
        {
            return Ok(());
        }
        let kept = u64::try_from(self.limits.keep_receipts.as_millis()).unwrap_or(u64::MAX);
        let before = Timestamp::from_millis(now.saturating_sub(kept));
        for _ in 0..TIDY_ROUNDS {
            let store = &self.ports.store;
            let trees = store.sweep_dropped_trees().await?;
            if !store.forget_receipts(before).await? && !trees {
                break;
            }
        }
        self.due.last_tidy = Timestamp::from_millis(now);
        Ok(())
    }
}
