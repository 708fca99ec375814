//! Write transactions: they take the write lock when they begin, so `SQLITE_BUSY` comes before
//! anything has been done and beginning again is safe.
//!
//! Nothing is written to files that a start would not open, and nothing that was written to such
//! files counts as done: the files are compared before a transaction and after its commit.
//!
//! Not `sqlx::Transaction`: SQLite itself rolls back on a full disk or an I/O error, the ROLLBACK
//! after that fails, and sqlx 0.9 then counts the transaction as open for ever.

use std::time::Duration;

use lethe_core::ports::StoreError;
use sqlx::Sqlite;
use sqlx::pool::PoolConnection;

use crate::errors;
use crate::files::Durable;
use crate::open::SqliteStore;

const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(50);

/// One write: named for messages, rolled back unless [`Write::finish`] commits it.
pub(crate) struct Write<'a> {
    pub(crate) inner: PoolConnection<Sqlite>,
    files: &'a Durable,
    name: &'static str,
    ended: bool,
}

impl SqliteStore {
    /// Begins one; nothing is written when it fails.
    pub(crate) async fn write(&self, name: &'static str) -> Result<Write<'_>, StoreError> {
        let inner = self.writer.acquire().await.map_err(errors::during(name))?;
        self.files.check()?;
        let mut write = Write {
            inner,
            files: &self.files,
            name,
            ended: false,
        };
        for _ in 1..ATTEMPTS {
            match write.execute("BEGIN IMMEDIATE").await {
                Err(error) if errors::is_busy(&error) => tokio::time::sleep(PAUSE).await,
                begun => return begun.map(|()| write).map_err(errors::during(name)),
            }
        }
        let begun = write.execute("BEGIN IMMEDIATE").await;
        begun.map(|()| write).map_err(errors::during(name))
    }
}

impl Write<'_> {
    /// Commits if the work succeeded, and else rolls back and returns its error. What is committed is
    /// flushed. After any error that is not of the work it is not known whether it was committed.
    pub(crate) async fn finish<T>(mut self, work: Result<T, StoreError>) -> Result<T, StoreError> {
        if work.is_ok() {
            self.execute("COMMIT")
                .await
                .map_err(errors::during(self.name))?;
            self.ended = true;
            self.files.check()?;
        } else {
            self.ended = self.execute("ROLLBACK").await.is_ok();
        }
        work
    }

    async fn execute(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        sqlx::query(statement)
            .execute(&mut *self.inner)
            .await
            .map(drop)
    }
}

/// The transaction was cancelled, or its state is not known: closing the connection rolls back for
/// certain.
impl Drop for Write<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.inner.close_on_drop();
        }
    }
}
