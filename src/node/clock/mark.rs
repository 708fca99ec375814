//! Where the time stood is written down before somebody relies on it: a key that was refused as
//! expired stays refused, whatever the clock says at the next start.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lethe_core::clock::SteadyClock;
use lethe_core::ports::{ClockStore, StoreError};
use lethe_core::time::Timestamp;
use tokio::sync::Mutex;

use super::SystemClock;

/// Writes the clock's mark.
pub struct ClockMark {
    clock: Arc<SteadyClock<SystemClock>>,
    store: Arc<dyn ClockStore>,
    /// The latest time that is written down, in milliseconds.
    written: AtomicU64,
    /// Held while writing: who waits finds it done.
    writing: Mutex<()>,
}

impl ClockMark {
    /// Nothing is written yet.
    #[must_use]
    pub fn new(clock: Arc<SteadyClock<SystemClock>>, store: Arc<dyn ClockStore>) -> Self {
        Self {
            clock,
            store,
            written: AtomicU64::new(0),
            writing: Mutex::default(),
        }
    }

    /// Answers when at least `time`, which has passed, is written down.
    ///
    /// # Errors
    /// Of the store.
    pub async fn reach(&self, time: Timestamp) -> Result<(), StoreError> {
        if self.covers(time) {
            return Ok(());
        }
        let _writing = self.writing.lock().await;
        if self.covers(time) {
            return Ok(());
        }
        let mark = self.clock.mark();
        self.store.raise_clock_mark(&mark).await?;
        let now = mark.high_water.map_or(0, Timestamp::as_millis);
        self.written.fetch_max(now, Ordering::AcqRel);
        Ok(())
    }

    /// Writes the present time down.
    ///
    /// # Errors
    /// Of the store.
    pub async fn write(&self) -> Result<(), StoreError> {
        self.reach(self.clock.now()).await
    }

    fn covers(&self, time: Timestamp) -> bool {
        self.written.load(Ordering::Acquire) >= time.as_millis()
    }
}
