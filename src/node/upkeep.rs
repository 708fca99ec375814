//! The work of every node twice a second and at the next expiry, whether it is the leader or not.

use std::sync::Arc;
use std::time::Duration;

use lethe_core::batch::Halt;
use lethe_core::ports::{Clock, Hsm, Store};
use lethe_core::time::Timestamp;
use tokio_util::sync::CancellationToken;

use super::NodeState;
use super::clock::SystemClock;

/// The longest time between two rounds.
pub const TICK: Duration = Duration::from_millis(500);
/// The time between two writes of the clock's high-water mark, in milliseconds.
const MARK_INTERVAL: u64 = 10_000;
/// The time between two checks of the HSM while it answers.
const HSM_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The background work of a node.
pub struct Upkeep {
    node: Arc<NodeState>,
    store: Arc<dyn Store>,
    /// The longest time for which a request may use a keyring.
    longest_request: Duration,
}

impl Upkeep {
    /// For a node whose requests take no longer than `longest_request`.
    #[must_use]
    pub fn new(node: Arc<NodeState>, store: Arc<dyn Store>, longest_request: Duration) -> Self {
        Self {
            node,
            store,
            longest_request: longest_request.saturating_add(TICK),
        }
    }

    /// Works until `stop`, or until the service must halt.
    pub async fn run(self, stop: CancellationToken) -> Option<Halt> {
        loop {
            if let Err(halt) = self.round() {
                return Some(halt);
            }
            let due = tokio::time::sleep(self.until_next());
            tokio::select! {
                () = stop.cancelled() => return None,
                () = due => {}
            }
        }
    }

    /// Waits for nobody: an expired key goes from memory, whatever store and HSM do.
    fn round(&self) -> Result<(), Halt> {
        check_rows(self.store.as_ref())?;
        self.node.check_clock();
        self.node.drop_expired(self.node.now());
        let since_boot = self.node.boot_time().as_millis();
        let longest = u64::try_from(self.longest_request.as_millis()).unwrap_or(u64::MAX);
        let done = Timestamp::from_millis(since_boot.saturating_sub(longest));
        self.node.key_state.refusals.drop_done(done);
        Ok(())
    }

    fn until_next(&self) -> Duration {
        let next = self.node.key_state.keyring().buckets.keys().min().copied();
        let now = self.node.now().as_millis();
        let left = next.map(|expiry| expiry.instant().as_millis().saturating_sub(now));
        TICK.min(left.map_or(TICK, Duration::from_millis))
    }
}

/// Halts the service if any part of it has read a row that was altered.
///
/// # Errors
/// [`Halt::Altered`].
pub fn check_rows(store: &dyn Store) -> Result<(), Halt> {
    match store.altered() {
        Some(row) => Err(Halt::Altered(row.to_owned())),
        None => Ok(()),
    }
}

/// Writes the time down every few seconds, whatever else works or is doubted, and who used which key
/// version. On a task of its own, so that a slow store delays nothing else.
pub async fn write_marks(node: Arc<NodeState>) {
    let mut marked = Timestamp::from_millis(0);
    loop {
        let now = node.now();
        if now.as_millis() >= marked.as_millis() + MARK_INTERVAL {
            match node.mark.write().await {
                Ok(()) => {
                    marked = now;
                    node.flush_key_uses().await;
                }
                Err(error) => tracing::warn!(%error, "the time is not written down"),
            }
        }
        tokio::time::sleep(TICK).await;
    }
}

/// Checks the HSM again and again, so that an outage is noticed when no other call needs the HSM. It runs on a
/// task of its own, so that a slow HSM delays nothing else.
pub async fn check_hsm(node: Arc<NodeState>, hsm: Arc<dyn Hsm>) {
    loop {
        let begun = SystemClock.since_boot();
        let pause = match node.check_hsm(hsm.as_ref()).await {
            Ok(()) => HSM_CHECK_INTERVAL,
            Err(_) => TICK,
        };
        let took = SystemClock.since_boot().saturating_sub(begun);
        tokio::time::sleep(pause.saturating_sub(took)).await;
    }
}
