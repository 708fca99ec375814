use lethe_core::batch::{BatchError, Halt, check_ours};
use lethe_core::ports::Clock;
use lethe_core::time::{Expiry, Timestamp};

use super::handles::Handles;
use super::keeper::Keeper;
use crate::node::clock::SystemClock;

impl Keeper {
    /// Drops what has expired from memory, then destroys it in the HSM and deletes its row. What
    /// fails is tried again at the next tick.
    pub(super) async fn reap(&mut self, handles: &Handles) -> Result<(), Halt> {
        let now = self.ports.clock.now();
        self.key_state.drop_buckets(|expiry| expiry.has_passed(now));
        let finished = self.boot_time().as_millis();
        let finished = finished.saturating_sub(self.longest_request);
        self.key_state
            .refusals
            .drop_done(Timestamp::from_millis(finished));
        if self.buckets.oldest_overdue(now).is_none() {
            handles.node.condition.lock().overdue.clear();
            return Ok(());
        }
        // Time must not run back over a restart to before what is refused from now on, and
        // destroyed.
        let expired = self
            .buckets
            .overdue(now)
            .into_iter()
            .map(|(expiry, _)| expiry);
        let expired = expired.max().map_or(now, Expiry::instant);
        let marked = handles.node.mark.reach(expired).await;
        if !self.clock_is_sound {
            self.say_overdue(handles, now);
            return Ok(());
        }
        let prepared = match marked {
            Ok(()) => self.prepare_to_destroy(handles).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = prepared {
            self.say_overdue(handles, now);
            handles.metrics.failed_destroys.inc();
            tracing::warn!(%error, "expired buckets are not destroyed yet; trying again");
            return self.report(handles, Err(error));
        }
        let begun = SystemClock.since_boot();
        let reaped = self.buckets.reap(&self.ports, now).await;
        let took = SystemClock.since_boot().saturating_sub(begun);
        let tried = reaped.destroyed.len() + reaped.failed.len();
        for _ in &reaped.destroyed {
            handles
                .metrics
                .bucket_destroyed(took / u32::try_from(tried).unwrap_or(u32::MAX));
        }
        for (expiry, error) in &reaped.failed {
            handles.metrics.failed_destroys.inc();
            tracing::warn!(expiry = expiry.as_seconds(), %error, "a bucket was not destroyed; trying again");
            match error {
                BatchError::Halt(halt) => return Err(halt.clone()),
                BatchError::Hsm(_) => self.hsm_failed = true,
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
        self.say_overdue(handles, now);
        Ok(())
    }

    /// The time is written down; nobody may still look at the key of what is destroyed now.
    async fn prepare_to_destroy(&self, handles: &Handles) -> Result<(), BatchError> {
        check_ours(&self.ports, handles.node.deployment).await?;
        self.ports.store.barrier().await?;
        self.key_state.until_unused().await
    }

    fn say_overdue(&self, handles: &Handles, now: Timestamp) {
        let overdue = self.buckets.overdue(now).into_iter();
        handles.node.condition.lock().overdue = overdue.map(|(expiry, _)| expiry).collect();
    }

    /// Into metrics, readiness and log, how the tick went.
    pub(super) fn report(
        &mut self,
        handles: &Handles,
        done: Result<(), BatchError>,
    ) -> Result<(), Halt> {
        self.measure(handles);
        let mut condition = handles.node.condition.lock();
        condition.seen.clone_from(&self.seen);
        let (hsm, store) = match done {
            Ok(()) => (None, None),
            Err(BatchError::Halt(halt)) => return Err(halt),
            Err(BatchError::Store(error)) => (condition.hsm.clone(), Some(error.to_string())),
            Err(error) => {
                self.hsm_failed = true;
                (Some(error.to_string()), None)
            }
        };
        if (&hsm, &store) != (&condition.hsm, &condition.store) {
            tracing::warn!(
                hsm = hsm.as_deref().unwrap_or("ok"),
                store = store.as_deref().unwrap_or("ok"),
                "condition changed"
            );
        }
        condition.hsm = hsm;
        condition.store = store;
        handles.metrics.condition(&condition, handles.max_objects);
        Ok(())
    }

    pub(super) fn measure(&self, handles: &Handles) {
        let now = self.ports.clock.now();
        let metrics = &handles.metrics;
        metrics
            .live_buckets
            .set(self.buckets.live(now).len() as i64);
        let keyspaces = self.key_state.keyring().keyspaces.len();
        metrics.keyspaces.set(keyspaces as i64);
        let backlog = self.pending_erasures.backlog();
        metrics.backlog(backlog.erasures, backlog.oldest, now);
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
