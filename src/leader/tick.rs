//! What the keeper looks at twice a second, and at the next expiry.

use std::time::Duration;

use lethe_core::batch::{BatchError, Halt};
use lethe_core::time::Timestamp;

use super::keeper::Keeper;
use crate::node::upkeep::{TICK, check_rows};

/// How often rows are tidied, in milliseconds.
const TIDY: u64 = 10_000;
/// Rows that go at one time, in transactions.
const TIDIED: usize = 20;

impl Keeper {
    pub(super) fn tick_is_due(&self) -> bool {
        let since = self
            .ports
            .clock
            .since_boot()
            .saturating_sub(self.due.ticked);
        since >= TICK.min(self.until_expiry())
    }

    /// Does what is due because of the time, and looks whether store and HSM are well.
    pub(super) async fn tick(&mut self) -> Result<(), Halt> {
        self.due.ticked = self.ports.clock.since_boot();
        // The node halts for it too: this is before anything is destroyed.
        check_rows(self.ports.store.as_ref())?;
        self.reap().await?;
        let done = self.upkeep().await;
        let well = done.is_ok();
        self.report(done)?;
        if well {
            self.rotate_what_is_due().await?;
        }
        Ok(())
    }

    pub(super) async fn upkeep(&mut self) -> Result<(), BatchError> {
        self.recovered().await?;
        // Shreds need no buckets.
        self.due.paused = false;
        self.adjust_times().await?;
        self.make_buckets().await?;
        self.tidy().await?;
        if self.due.look {
            let hsm = self.ports.hsm.as_ref();
            self.handles.node.look_at_hsm(hsm).await?;
            self.due.look = false;
        }
        Ok(())
    }

    /// Until the next tick.
    pub(super) fn pause(&self) -> Duration {
        let since = self
            .ports
            .clock
            .since_boot()
            .saturating_sub(self.due.ticked);
        TICK.min(self.until_expiry()).saturating_sub(since)
    }

    /// An overdue destroy is tried again at the pace of the tick.
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

    /// Rows of dropped trees, and receipts that were kept long enough, go bit by bit.
    async fn tidy(&mut self) -> Result<(), BatchError> {
        let now = self.ports.clock.now().as_millis();
        if now < self.due.tidied.as_millis() + TIDY || self.handles.node.watch_clock().is_some() {
            return Ok(());
        }
        let kept = u64::try_from(self.limits.keep_receipts.as_millis()).unwrap_or(u64::MAX);
        let before = Timestamp::from_millis(now.saturating_sub(kept));
        for _ in 0..TIDIED {
            let store = &self.ports.store;
            let trees = store.sweep_dropped_trees().await?;
            if !store.forget_receipts(before).await? && !trees {
                break;
            }
        }
        self.due.tidied = Timestamp::from_millis(now);
        Ok(())
    }
}
