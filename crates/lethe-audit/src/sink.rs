use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use lethe_core::audit::Record;
use lethe_core::ports::{AuditError, AuditSink};
use parking_lot::Mutex;

use crate::commit::{Commit, Durable};
use crate::config::AuditConfig;
use crate::log::Log;
use crate::queue::Queue;
use crate::writer::Writer;

/// The audit log in a folder of segments. Dropping it writes what waits, then ends.
pub struct FileAuditSink {
    queue: Arc<Queue>,
    ended: Arc<Commit>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl FileAuditSink {
    /// Opens the log, or begins one in an empty folder. Blocks for some 20 ms.
    ///
    /// # Errors
    /// [`AuditError`] when the folder is missing, in use by another process, or cannot be written.
    pub fn open(config: AuditConfig) -> Result<Self, AuditError> {
        let named =
            |error: std::io::Error| AuditError(format!("{}: {error}", config.directory.display()));
        let log = Log::open(&config).map_err(named)?;
        let (queue, ended) = (Arc::<Queue>::default(), Arc::<Commit>::default());
        let writer = Writer::new(log, Arc::clone(&queue));
        let end = End {
            queue: Arc::clone(&queue),
            ended: Arc::clone(&ended),
        };
        let thread = std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || end.ended.finish_all(writer.run()))
            .map_err(named)?;
        Ok(Self {
            queue,
            ended,
            writer: Mutex::new(Some(thread)),
        })
    }

    /// Writes what waits, cuts the last segment to its length and gives the folder free; later
    /// appends are refused. Closing twice is fine.
    ///
    /// # Errors
    /// [`AuditError`] when the last segment could not be cut; the next start does it.
    pub async fn close(&self) -> Result<(), AuditError> {
        self.queue.close();
        Durable::new(Arc::clone(&self.ended)).await
    }
}

/// If the writer panics, nobody waits for it forever.
struct End {
    queue: Arc<Queue>,
    ended: Arc<Commit>,
}

impl Drop for End {
    fn drop(&mut self) {
        let error = AuditError("the audit writer has ended".into());
        self.queue.close();
        self.queue.fail(&error);
        self.ended.finish_all(Err(error));
    }
}

impl Drop for FileAuditSink {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.writer.lock().take() {
            // The panic hook has logged a panic of the writer.
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl AuditSink for FileAuditSink {
    async fn append(&self, record: Record) -> Result<(), AuditError> {
        self.queue.add(record.as_bytes())?.await
    }

    fn check(&self) -> Result<(), AuditError> {
        self.queue.check()
    }

    fn failures(&self) -> u64 {
        self.queue.failures()
    }
}
