//! The writing thread: takes a commit, writes it, answers; recovers by itself when a disk or
//! folder comes back.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use lethe_core::ports::AuditError;

use crate::commit::Commit;
use crate::log::Log;
use crate::queue::{Batch, Queue, Taken};

/// How often the log is looked at while nobody writes.
const WAIT_LIMIT: Duration = Duration::from_millis(500);

/// After this, the others of a commit are woken even if the first one woken was not polled.
const RESCUE: Duration = Duration::from_millis(1);

pub(crate) struct Writer {
    log: Log,
    queue: Arc<Queue>,
    /// A commit that is answered, while not all of its callers may have been woken.
    handed_on: Option<Arc<Commit>>,
    /// Whether a write has failed: no line is taken until the log is recovered.
    broken: bool,
}

impl Writer {
    pub(crate) fn new(log: Log, queue: Arc<Queue>) -> Self {
        Self {
            log,
            queue,
            handed_on: None,
            broken: false,
        }
    }

    /// Runs until the queue is closed and empty.
    pub(crate) fn run(mut self) -> Result<(), AuditError> {
        let (mut spare, mut answered) = (Vec::new(), 0);
        loop {
            let limit = self.handed_on.as_ref().map_or(WAIT_LIMIT, |_| RESCUE);
            match self.queue.take(spare, answered, limit) {
                Taken::Batch(batch) => {
                    answered = batch.callers;
                    spare = self.commit(batch);
                }
                Taken::Nothing => {
                    (spare, answered) = (Vec::new(), 0);
                    self.rest();
                }
                Taken::Closed => break,
            }
        }
        self.wake_rest();
        self.log.close().map_err(audit_error)
    }

    /// Writes and answers; gives back the emptied buffer.
    fn commit(&mut self, mut batch: Batch) -> Vec<u8> {
        let result = self.log.write(&batch.lines).map_err(audit_error);
        if let Err(error) = &result {
            // `check` must fail before callers get the failure.
            self.fail(error);
        }
        let others = batch.commit.finish(result);
        self.wake_rest();
        self.handed_on = others.then(|| Arc::clone(&batch.commit));
        let mut lines = std::mem::take(&mut batch.lines);
        lines.clear();
        lines
    }

    fn fail(&mut self, error: &AuditError) {
        tracing::error!(%error, "no key leaves");
        self.broken = true;
        self.queue.fail(error);
    }

    fn wake_rest(&mut self) {
        if let Some(commit) = self.handed_on.take() {
            commit.wake_rest();
        }
    }

    /// Without traffic nobody else would notice that the log failed, or that the disk is back.
    fn rest(&mut self) {
        if self.handed_on.is_some() {
            self.wake_rest();
        } else if self.broken {
            self.recover();
        } else if let Err(error) = self.log.check() {
            self.fail(&audit_error(error));
        }
    }

    fn recover(&mut self) {
        match self.log.recover() {
            Ok(()) => {
                tracing::info!("the audit log is written again");
                self.broken = false;
                self.queue.recover();
            }
            Err(error) => tracing::debug!(%error, "the audit log cannot be written yet"),
        }
    }
}

fn audit_error(error: io::Error) -> AuditError {
    AuditError(error.to_string())
}
