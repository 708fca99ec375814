//! Moves the WAL into the database, on a connection and a task of its own: a checkpoint is mostly
//! random writes, and commits must not wait for them.
//!
//! The longer the WAL, the more often a page in it was written again meanwhile and is moved once
//! only; the shorter, the less is read at a start after a crash.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lethe_core::ports::BatchCommit;
use sqlx::SqlitePool;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Bytes of rows written between two checkpoints.
const BETWEEN: u64 = 48 << 20;
/// Longest time between two checkpoints.
const IDLE: Duration = Duration::from_secs(30);

/// The task that makes checkpoints, and what was written since the last one.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    progress: Arc<Progress>,
    pool: SqlitePool,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Progress {
    bytes: AtomicU64,
    due: Notify,
}

impl Checkpoints {
    pub(crate) fn start(pool: SqlitePool) -> Self {
        let progress = Arc::<Progress>::default();
        let task = tokio::spawn(run(pool.clone(), Arc::clone(&progress)));
        Self {
            progress,
            pool,
            task,
        }
    }

    /// Counts a batch that was written, or may have been.
    pub(crate) fn written(&self, batch: &BatchCommit) {
        let bytes: usize = batch
            .trees
            .iter()
            .map(|tree| {
                let pages = tree.pages.iter().map(|page| page.bytes.len());
                let tails = tree.tails.iter().map(|tail| tail.bytes.len());
                pages.chain(tails).sum::<usize>()
            })
            .sum();
        let bytes = bytes as u64;
        if self.progress.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes >= BETWEEN {
            self.progress.due.notify_one();
        }
    }

    pub(crate) async fn stop(&self) {
        self.task.abort();
        self.pool.close().await;
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(pool: SqlitePool, progress: Arc<Progress>) {
    loop {
        // Either way something may have to be moved.
        let _ = tokio::time::timeout(IDLE, progress.due.notified()).await;
        progress.bytes.store(0, Ordering::Relaxed);
        // The first moves nearly all while others write on; the second the rest, and lets the next
        // writer begin the WAL anew. One that fails is tried again the next time.
        for statement in [
            "PRAGMA wal_checkpoint(PASSIVE)",
            "PRAGMA wal_checkpoint(RESTART)",
        ] {
            let _ = sqlx::query(statement).execute(&pool).await;
        }
    }
}
