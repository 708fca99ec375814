//! The queue between callers and writer: the commit that is filling.

use std::sync::Arc;
use std::time::Duration;

use lethe_core::ports::AuditError;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::commit::{Commit, Durable};

/// Most bytes of lines that wait for the disk. Beyond that, appends are refused.
const MOST_WAITING: usize = 64 << 20;

/// After the first caller, the writer waits so long for half of the callers that it has just answered,
/// so that they share the next write (ADR 0002). A single caller never waits.
const LINGER: Duration = Duration::from_micros(50);

#[derive(Default)]
struct Filling {
    lines: Vec<u8>,
    callers: usize,
    /// The writer sleeps until there are so many callers. 0 if it is awake.
    wanted: usize,
    commit: Arc<Commit>,
    failed: Option<AuditError>,
    failures: u64,
    closed: bool,
}

/// The commit that is filling, and whether it may fill.
#[derive(Default)]
pub(crate) struct Queue {
    filling: Mutex<Filling>,
    work: Condvar,
}

/// A commit that the writer has taken. If it is dropped without an answer, it has failed.
pub(crate) struct Batch {
    /// The lines to write, each with its line end.
    pub(crate) lines: Vec<u8>,
    pub(crate) callers: usize,
    pub(crate) commit: Arc<Commit>,
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.commit.finish_all(Err(ended()));
    }
}

/// What the writer gets from the queue.
pub(crate) enum Taken {
    /// Lines to write.
    Batch(Batch),
    /// No line came in this time.
    Nothing,
    /// The queue is closed and empty.
    Closed,
}

fn ended() -> AuditError {
    AuditError("the log is closed".into())
}

impl Queue {
    /// Adds a line to the commit that is filling.
    pub(crate) fn add(&self, line: &[u8]) -> Result<Durable, AuditError> {
        let mut filling = self.filling.lock();
        if filling.closed {
            return Err(ended());
        }
        if let Some(error) = &filling.failed {
            return Err(error.clone());
        }
        if filling.lines.len() + line.len() > MOST_WAITING {
            return Err(AuditError("the disk does not keep up".into()));
        }
        filling.lines.extend_from_slice(line);
        filling.lines.push(b'\n');
        filling.callers += 1;
        let enough = filling.callers == filling.wanted;
        let durable = Durable::new(Arc::clone(&filling.commit));
        drop(filling);
        if enough {
            self.work.notify_one();
        }
        Ok(durable)
    }

    /// Waits for lines, and takes all of them. `spare` is the buffer for the next ones. `answered` is
    /// the number of callers that were just answered, and may come again.
    pub(crate) fn take(&self, spare: Vec<u8>, answered: usize, limit: Duration) -> Taken {
        let mut filling = self.filling.lock();
        self.sleep(&mut filling, 1, limit);
        if answered > 2 && filling.callers > 0 {
            self.sleep(&mut filling, answered / 2, LINGER);
        }
        if filling.callers == 0 {
            return if filling.closed {
                Taken::Closed
            } else {
                Taken::Nothing
            };
        }
        Taken::Batch(filling.take(spare))
    }

    fn sleep(&self, filling: &mut MutexGuard<'_, Filling>, wanted: usize, limit: Duration) {
        if filling.callers < wanted && !filling.closed {
            filling.wanted = wanted;
            self.work.wait_for(filling, limit);
            filling.wanted = 0;
        }
    }

    /// Refuses lines until [`Self::recover`]. Lines that wait fail.
    pub(crate) fn fail(&self, error: &AuditError) {
        let mut filling = self.filling.lock();
        filling.failed = Some(error.clone());
        filling.failures += 1;
        let batch = filling.take(Vec::new());
        drop(filling);
        batch.commit.finish_all(Err(error.clone()));
    }

    /// Accepts lines again.
    pub(crate) fn recover(&self) {
        self.filling.lock().failed = None;
    }

    /// How often the log failed, so that lines were refused.
    pub(crate) fn failures(&self) -> u64 {
        self.filling.lock().failures
    }

    /// Whether lines are accepted.
    pub(crate) fn check(&self) -> Result<(), AuditError> {
        let filling = self.filling.lock();
        if filling.closed {
            return Err(ended());
        }
        filling.failed.clone().map_or(Ok(()), Err)
    }

    /// Refuses further lines. Lines that wait are still written.
    pub(crate) fn close(&self) {
        self.filling.lock().closed = true;
        self.work.notify_one();
    }
}

impl Filling {
    fn take(&mut self, spare: Vec<u8>) -> Batch {
        Batch {
            lines: std::mem::replace(&mut self.lines, spare),
            callers: std::mem::take(&mut self.callers),
            commit: std::mem::take(&mut self.commit),
        }
    }
}
