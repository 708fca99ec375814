//! The mark of the time in the store. It is written before anything depends on the time: a key that was refused
//! as expired is refused after a restart, too, whatever the clock shows then.

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
    /// The latest time in the store, in milliseconds.
    written: AtomicU64,
    /// Held during a write. A caller that waited for it often finds that its time is written.
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

    /// Returns when the mark in the store is at least `time`, which must have passed.
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

    /// Writes the present time.
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
