use std::sync::Arc;

use lethe_core::batch::{BatchError, Halt, check_ours};
use lethe_core::ports::{Clock, Strength};
use lethe_core::time::Timestamp;

use super::keeper::Keeper;
use crate::node::clock::SystemClock;

impl Keeper {
    /// Drops expired bucket keys from memory, then destroys the buckets in the HSM and deletes their rows. A
    /// bucket that was not destroyed is tried again at the next tick.
    pub(super) async fn reap(&mut self) -> Result<(), Halt> {
        let node = Arc::clone(&self.handles.node);
        let now = node.now();
        node.drop_expired(now);
        let expired = self.buckets.overdue(now).into_iter();
        let Some(latest) = expired.map(|(expiry, _)| expiry).max() else {
            node.condition.lock().overdue.clear();
            return Ok(());
        };
        // After a restart the time must not be earlier than the expiry of a bucket that is destroyed.
        let marked = node.mark.reach(latest.instant()).await;
        if node.check_clock().is_some() {
            self.publish_overdue(now);
            return Ok(());
        }
        let prepared = match marked {
            Ok(()) => self.prepare_to_destroy().await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = prepared {
            self.publish_overdue(now);
            self.handles.metrics.failed_destroys.inc();
            tracing::warn!(%error, "expired buckets are not destroyed yet; trying again");
            return self.record_result(Err(error));
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
                BatchError::Hsm(_) => self.due.check_hsm = true,
                _ => {}
            }
        }
        if !reaped.destroyed.is_empty() {
            // At debug only: there may be a bucket each second. Receipts and metrics have each of them.
            tracing::debug!(
                buckets = reaped.destroyed.len(),
                "expired buckets destroyed"
            );
        }
        self.publish_overdue(now);
        Ok(())
    }

    /// Checks the claim, waits for the durability barrier, and waits until no call uses a key of an expired
    /// bucket.
    async fn prepare_to_destroy(&self) -> Result<(), BatchError> {
        let node = &self.handles.node;
        check_ours(&self.ports, node.deployment).await?;
        self.ports.store.barrier(Strength::Destroying).await?;
        node.key_state.until_unused().await
    }

    fn publish_overdue(&self, now: Timestamp) {
        let overdue = self.buckets.overdue(now).into_iter();
        self.handles.node.condition.lock().overdue = overdue.map(|(expiry, _)| expiry).collect();
    }

    /// Shows in the metrics, in readiness and in the log whether the work succeeded.
    pub(super) fn record_result(&mut self, done: Result<(), BatchError>) -> Result<(), Halt> {
        self.update_metrics();
        if let Err(BatchError::Halt(halt)) = done {
            return Err(halt);
        }
        let node = &self.handles.node;
        node.update_condition(|condition| match done {
            Ok(()) => (condition.hsm_work, condition.store) = (None, None),
            Err(BatchError::Store(error)) => condition.store = Some(error.to_string()),
            Err(error) => {
                self.due.check_hsm = true;
                condition.hsm_work = Some(error.to_string());
                condition.store = None;
            }
        });
        Ok(())
    }

    /// Updates the metrics of the buckets in the HSM, which only the leader knows.
    pub(super) fn update_metrics(&self) {
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
