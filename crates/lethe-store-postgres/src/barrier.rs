//! The durability barrier: what was committed is on every disk that could ever serve it.

use async_trait::async_trait;
use lethe_core::ports::{Durability, StoreError};
use sqlx::{PgConnection, Row};

use crate::errors::during;
use crate::open::PostgresStore;
use crate::session;
use crate::statements::rows;

#[async_trait]
impl Durability for PostgresStore {
    /// One server keeps the store. A physical copy that follows it could be promoted and would hold what this
    /// server has erased, so nothing passes while there is one.
    async fn barrier(&self) -> Result<(), StoreError> {
        let name = "flush";
        self.calls
            .read(name, |connection| Box::pin(barrier(connection, name)))
            .await
    }
}

async fn barrier(connection: &mut PgConnection, name: &'static str) -> Result<(), StoreError> {
    session::check(connection).await?;
    refuse_copies(connection, name).await?;
    // Written and committed, so flushed with all that was committed before it, by whoever and however.
    let written: String =
        sqlx::query_scalar("SELECT pg_logical_emit_message(true, 'lethe', '')::text")
            .fetch_one(&mut *connection)
            .await
            .map_err(during(name))?;
    let flushed: bool = sqlx::query_scalar("SELECT pg_current_wal_flush_lsn() >= $1::text::pg_lsn")
        .bind(written)
        .fetch_one(&mut *connection)
        .await
        .map_err(during(name))?;
    match flushed {
        true => Ok(()),
        false => Err(StoreError::Unavailable(
            "PostgreSQL has not flushed what it has committed".into(),
        )),
    }
}

/// Logical replicas get rows, and never become this database. What writes a backup is let pass: nobody can do
/// without backups, and whoever starts one is stopped by the claim in the HSM.
async fn refuse_copies(
    connection: &mut PgConnection,
    name: &'static str,
) -> Result<(), StoreError> {
    let copies = sqlx::query(
        "SELECT r.application_name, coalesce(r.client_addr::text, 'a socket')
         FROM pg_stat_replication r LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid
         WHERE s.slot_type IS DISTINCT FROM 'logical'
               AND r.application_name NOT IN ('pg_basebackup', 'pg_receivewal')
         ORDER BY 1, 2",
    );
    let copies = rows(connection, name, copies).await?;
    let Some(copy) = copies.first() else {
        return Ok(());
    };
    let text = |index: usize| copy.try_get::<String, _>(index).map_err(during(name));
    Err(StoreError::Unavailable(format!(
        "a copy of the database follows it ({} at {}): this release keeps the store on one server",
        text(0)?,
        text(1)?
    )))
}
