//! The durability barrier: what was committed is on every disk that could ever serve it.

use async_trait::async_trait;
use lethe_core::ports::{Durability, StoreError, Strength};
use sqlx::PgConnection;

use crate::errors::during;
use crate::members::{self, On};
use crate::open::PostgresStore;
use crate::session;

#[async_trait]
impl Durability for PostgresStore {
    async fn barrier(&self, strength: Strength) -> Result<(), StoreError> {
        self.pass(match strength {
            Strength::Answered => self.calls.durable_on(),
            Strength::Destroying => On::All,
        })
        .await
    }

    /// A primary that others have left, and that can reach too few members, does not count.
    async fn confirm_alone(&self) -> Result<(), StoreError> {
        self.barrier(Strength::Answered).await
    }
}

impl PostgresStore {
    /// This process has the lock, and so many copies have flushed everything.
    async fn pass(&self, on: On) -> Result<(), StoreError> {
        let (held, here) = (self.guard.held(), self.here.clone());
        self.calls
            .read("flush", move |connection| {
                Box::pin(async move {
                    held.ask(connection).await?;
                    flush(connection, &here, on).await
                })
            })
            .await
    }
}

/// Writes a message to the WAL, and waits until so many copies have flushed it, and with it all that was
/// committed before, by whoever and however.
async fn flush(connection: &mut PgConnection, here: &str, on: On) -> Result<(), StoreError> {
    let failed = during("flush");
    session::check(connection).await?;
    let written = "SELECT pg_logical_emit_message(true, 'lethe', '')::text";
    let written = sqlx::query_scalar(written)
        .fetch_one(&mut *connection)
        .await;
    let written: String = written.map_err(&failed)?;
    let flushed = sqlx::query_scalar("SELECT pg_current_wal_flush_lsn() >= $1::text::pg_lsn");
    let flushed = flushed.bind(&written).fetch_one(&mut *connection).await;
    if !flushed.map_err(failed)? {
        return Err(StoreError::Unavailable(
            "PostgreSQL has not flushed what it has committed".into(),
        ));
    }
    members::wait(connection, here, &written, on).await
}
