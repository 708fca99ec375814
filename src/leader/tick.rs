//! What the keeper looks at twice a second, and at the next expiry.

use std::time::Duration;

use lethe_core::batch::{BatchError, Halt};

use super::handles::Handles;
use super::keeper::Keeper;
use crate::node::status::Seen;

/// Longest pause between two looks at what is due.
pub(super) const TICK: Duration = Duration::from_millis(500);
/// How often the high-water mark of the clock is written.
const MARK: u64 = 10_000;
/// How often the HSM is looked at.
const LOOK: u64 = 5_000;

impl Keeper {
    pub(super) fn tick_is_due(&self) -> bool {
        let since = self.ports.clock.since_boot().saturating_sub(self.ticked);
        since >= TICK.min(self.until_expiry())
    }

    /// Looks at what is due because of the time, and whether store and HSM are well.
    pub(super) async fn tick(&mut self, handles: &Handles) -> Result<(), Halt> {
        self.ticked = self.ports.clock.since_boot();
        if let Some(row) = self.ports.store.altered() {
            // Whoever asked for it.
            return Err(Halt::Altered(row.to_owned()));
        }
        self.watch_clock(handles);
        self.write_mark(handles).await;
        self.reap(handles).await?;
        let marked = self.marked;
        let done = self.upkeep().await;
        let well = done.is_ok();
        self.report(handles, done)?;
        if self.marked != marked {
            handles.node.flush_key_uses().await;
        }
        if well {
            self.rotate_what_is_due(handles).await?;
        }
        Ok(())
    }

    /// Every few seconds, whatever else works or is doubted.
    async fn write_mark(&mut self, handles: &Handles) {
        let now = self.ports.clock.now();
        if now.as_millis() < self.marked.as_millis() + MARK {
            return;
        }
        match handles.node.mark.write().await {
            Ok(()) => self.marked = now,
            Err(error) => tracing::warn!(%error, "the time is not written down"),
        }
    }

    pub(super) async fn upkeep(&mut self) -> Result<(), BatchError> {
        self.recovered().await?;
        // Shreds need no buckets.
        self.paused = false;
        self.adjust_times().await?;
        self.make_buckets().await?;
        let now = self.ports.clock.now();
        if self.clock_is_sound && now.as_millis() >= self.tidied.as_millis() + MARK {
            self.tidy(now).await?;
            self.tidied = now;
        }
        // With nothing to do nobody would find out that the device is gone, or is back.
        if self.hsm_failed || now.as_millis() >= self.looked.as_millis() + LOOK {
            self.looked = now;
            let current = self.current.as_ref().ok_or(Halt::NotInitialised)?;
            let status = self.ports.hsm.status(current.deployment()).await?;
            self.seen = Some(Seen { at: now, status });
            self.hsm_failed = false;
        }
        Ok(())
    }

    /// Until the next tick.
    pub(super) fn pause(&self) -> Duration {
        let since = self.ports.clock.since_boot().saturating_sub(self.ticked);
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
}
