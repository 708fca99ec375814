use std::sync::Arc;

use lethe_core::batch::{BatchError, Halt, check_ours};
use lethe_core::ports::Clock;
use lethe_core::time::Timestamp;

use super::keeper::Keeper;
use crate::node::clock::SystemClock;

impl Keeper {
    /// Drops what has expired from memory, then destroys it in the HSM and deletes its row. What
    /// fails is tried again at the next tick.
    pub(super) async fn reap(&mut self) -> Result<(), Halt> {
        let node = Arc::clone(&self.handles.node);
        let now = node.now();
        node.drop_expired(now);
        let expired = self.buckets.overdue(now).into_iter();
        let Some(latest) = expired.map(|(expiry, _)| expiry).max() else {
            node.condition.lock().overdue.clear();
            return Ok(());
        };
        // Time must not run back over a restart to before what is refused from now on, and
        // destroyed.
        let marked = node.mark.reach(latest.instant()).await;
        if node.watch_clock().is_some() {
            self.say_overdue(now);
            return Ok(());
        }
        let prepared = match marked {
            Ok(()) => self.prepare_to_destroy().await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = prepared {
            self.say_overdue(now);
            self.handles.metrics.failed_destroys.inc();
            tracing::warn!(%error, "expired buckets are not destroyed yet; trying again");
            return self.report(Err(error));
        }
        let begun = SystemClock.since_boot();
        let reaped = self.buckets.reap(&self.ports, now).await;
        let took = SystemClock.since_boot().saturating_sub(begun);
        let tried = reaped.destroyed.len() + reaped.failed.len();
        for _ in &reaped.destroyed {
            self.handles
                .metrics
                .bucket_destroyed(took / u32::try_from(tried).unwrap_or(u32::MAX));
        }
        for (expiry, error) in &reaped.failed {
            self.handles.metrics.failed_destroys.inc();
            tracing::warn!(expiry = expiry.as_seconds(), %error, "a bucket was not destroyed; trying again");
            match error {
                BatchError::Halt(halt) => return Err(halt.clone()),
                BatchError::Hsm(_) => self.due.look = true,
                _ => {}
            }
        }
        if !reaped.destroyed.is_empty() {
            // Not above debug: buckets of a second would fill the log. Receipts and metrics tell of each.
            tracing::debug!(
                buckets = reaped.destroyed.len(),
                "expired buckets destroyed"
            );
        }
        self.say_overdue(now);
        Ok(())
    }

    /// The time is written down; nobody may still look at the key of what is destroyed now.
    async fn prepare_to_destroy(&self) -> Result<(), BatchError> {
        let node = &self.handles.node;
        check_ours(&self.ports, node.deployment).await?;
        self.ports.store.barrier().await?;
        node.key_state.until_unused().await
    }

    fn say_overdue(&self, now: Timestamp) {
        let overdue = self.buckets.overdue(now).into_iter();
        self.handles.node.condition.lock().overdue = overdue.map(|(expiry, _)| expiry).collect();
    }

    /// Into metrics, readiness and log, how the work went.
    pub(super) fn report(&mut self, done: Result<(), BatchError>) -> Result<(), Halt> {
        self.measure();
        if let Err(BatchError::Halt(halt)) = done {
            return Err(halt);
        }
        let node = &self.handles.node;
        node.change_condition(|condition| match done {
            Ok(()) => (condition.hsm_work, condition.store) = (None, None),
            Err(BatchError::Store(error)) => condition.store = Some(error.to_string()),
            Err(error) => {
                self.due.look = true;
                condition.hsm_work = Some(error.to_string());
                condition.store = None;
            }
        });
        Ok(())
    }

    /// What only the leader knows: buckets in the HSM.
    pub(super) fn measure(&self) {
        let now = self.ports.clock.now();
        let metrics = &self.handles.metrics;
        metrics
            .live_buckets
            .set(self.buckets.live(now).len() as i64);
        let seconds = |later: u64, earlier: u64| later as i64 - earlier as i64;
        let now_s = now.as_millis() / 1_000;
        let next = self
            .buckets
            .next_expiry()
            .map_or(0, |next| seconds(next.as_seconds(), now_s));
        metrics.next_expiry.set(next);
        let lag = self
            .buckets
            .oldest_overdue(now)
            .map_or(0, |due| seconds(now_s, due.as_seconds()));
        metrics.expiry_lag.set(lag);
    }
}
