//! What every node does twice a second and at the next expiry, whether it leads or not.

use std::sync::Arc;
use std::time::Duration;

use lethe_core::batch::Halt;
use lethe_core::ports::{Clock, Hsm, Store};
use lethe_core::time::Timestamp;
use tokio_util::sync::CancellationToken;

use super::NodeState;
use super::clock::SystemClock;

/// Longest pause between two rounds.
pub const TICK: Duration = Duration::from_millis(500);
/// How often the high-water mark of the clock is written, in milliseconds.
const MARK: u64 = 10_000;
/// How often the HSM is looked at while it answers.
const LOOK: Duration = Duration::from_secs(5);

/// The background work of a node.
pub struct Upkeep {
    node: Arc<NodeState>,
    store: Arc<dyn Store>,
    /// From a request's look at the keyring to its answer.
    longest_request: Duration,
    /// When the clock's mark was written last.
    marked: Timestamp,
}

impl Upkeep {
    /// For a node whose requests take no longer than `longest_request`.
    #[must_use]
    pub fn new(node: Arc<NodeState>, store: Arc<dyn Store>, longest_request: Duration) -> Self {
        Self {
            node,
            store,
            longest_request: longest_request.saturating_add(TICK),
            marked: Timestamp::from_millis(0),
        }
    }

    /// Works until `stop`, or until the service must halt.
    pub async fn run(mut self, stop: CancellationToken) -> Option<Halt> {
        loop {
            if let Err(halt) = self.round().await {
                return Some(halt);
            }
            let due = tokio::time::sleep(self.until_next());
            tokio::select! {
                () = stop.cancelled() => return None,
                () = due => {}
            }
        }
    }

    async fn round(&mut self) -> Result<(), Halt> {
        check_rows(self.store.as_ref())?;
        self.node.watch_clock();
        self.node.drop_expired(self.node.now());
        let since_boot = self.node.boot_time().as_millis();
        let longest = u64::try_from(self.longest_request.as_millis()).unwrap_or(u64::MAX);
        let done = Timestamp::from_millis(since_boot.saturating_sub(longest));
        self.node.key_state.refusals.drop_done(done);
        self.write_mark().await;
        Ok(())
    }

    /// Every few seconds, whatever else works or is doubted.
    async fn write_mark(&mut self) {
        let now = self.node.now();
        if now.as_millis() < self.marked.as_millis() + MARK {
            return;
        }
        match self.node.mark.write().await {
            Ok(()) => {
                self.marked = now;
                self.node.flush_key_uses().await;
            }
            Err(error) => tracing::warn!(%error, "the time is not written down"),
        }
    }

    fn until_next(&self) -> Duration {
        let next = self.node.key_state.keyring().buckets.keys().min().copied();
        let now = self.node.now().as_millis();
        let left = next.map(|expiry| expiry.instant().as_millis().saturating_sub(now));
        TICK.min(left.map_or(TICK, Duration::from_millis))
    }
}

/// Whoever found a row that somebody altered: the service halts.
///
/// # Errors
/// [`Halt::Altered`].
pub fn check_rows(store: &dyn Store) -> Result<(), Halt> {
    match store.altered() {
        Some(row) => Err(Halt::Altered(row.to_owned())),
        None => Ok(()),
    }
}

/// Looks at the HSM again and again: with nothing to do nobody would find out that it is gone, or is
/// back. On a task of its own, so that a slow HSM holds up nothing else.
pub async fn look_at_hsm(node: Arc<NodeState>, hsm: Arc<dyn Hsm>) {
    loop {
        let begun = SystemClock.since_boot();
        let pause = match node.look_at_hsm(hsm.as_ref()).await {
            Ok(()) => LOOK,
            Err(_) => TICK,
        };
        let took = SystemClock.since_boot().saturating_sub(begun);
        tokio::time::sleep(pause.saturating_sub(took)).await;
    }
}
