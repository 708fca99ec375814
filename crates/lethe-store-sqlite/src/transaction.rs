//! Write transactions: they take the write lock when they begin, so `SQLITE_BUSY` comes before
//! anything has been done and beginning again is safe.
//!
//! Not `sqlx::Transaction`: SQLite itself rolls back on a full disk or an I/O error, the ROLLBACK
//! after that fails, and sqlx 0.9 then counts the transaction as open for ever.

use std::time::Duration;

use lethe_core::ports::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqlitePool};

use crate::errors;

const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(50);

/// One write: named for messages, rolled back unless [`Write::finish`] commits it.
pub(crate) struct Write {
    pub(crate) inner: PoolConnection<Sqlite>,
    name: &'static str,
    ended: bool,
}

impl Write {
    pub(crate) async fn begin(pool: &SqlitePool, name: &'static str) -> Result<Self, StoreError> {
        let inner = pool.acquire().await.map_err(errors::during(name))?;
        let mut write = Self {
            inner,
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

    /// Commits when the work went well; else rolls back and hands on the work's error.
    pub(crate) async fn finish<T>(mut self, work: Result<T, StoreError>) -> Result<T, StoreError> {
        if work.is_ok() {
            self.execute("COMMIT")
                .await
                .map_err(errors::during(self.name))?;
            self.ended = true;
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

/// Cancelled, or in a state that we cannot tell: closing the connection rolls back for certain.
impl Drop for Write {
    fn drop(&mut self) {
        if !self.ended {
            self.inner.close_on_drop();
        }
    }
}
