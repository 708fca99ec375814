//! Where the clock stood, in the row of the deployment.

use std::sync::Arc;

use async_trait::async_trait;
use lethe_core::clock::Mark;
use lethe_core::ports::{ClockStore, StoreError};
use lethe_store_sql::authentic::{self, Authenticity};
use lethe_store_sql::clock::{MarkColumns, confirmed, raised};
use lethe_store_sql::decode;
use sqlx::PgConnection;

use crate::authentic::Rows;
use crate::deployment::deployment_row;
use crate::open::PostgresStore;
use crate::statements::execute;

#[async_trait]
impl ClockStore for PostgresStore {
    async fn clock_mark(&self) -> Result<Mark, StoreError> {
        decode::clock_mark(&self.deployment_row("read the clock's mark").await?)
    }

    async fn raise_clock_mark(&self, mark: &Mark) -> Result<(), StoreError> {
        let (authentic, mark) = (Arc::clone(&self.authentic), *mark);
        self.calls
            .write("raise the clock's mark", move |connection| {
                Box::pin(async move { raise(connection, &authentic, &mark).await })
            })
            .await
    }

    async fn confirm_clock(&self, mark: &Mark) -> Result<(), StoreError> {
        let (authentic, mark) = (Arc::clone(&self.authentic), *mark);
        self.calls
            .write("confirm the clock", move |connection| {
                Box::pin(async move { confirm(connection, &authentic, &mark).await })
            })
            .await
    }
}

/// Nothing where a later time stands there.
pub(crate) async fn raise(
    connection: &mut PgConnection,
    authentic: &Authenticity,
    mark: &Mark,
) -> Result<(), StoreError> {
    let before = read(connection, authentic).await?;
    match raised(&before, mark) {
        None => Ok(()),
        Some(mark) => write(connection, authentic, &mark).await,
    }
}

/// The time never sinks.
pub(crate) async fn confirm(
    connection: &mut PgConnection,
    authentic: &Authenticity,
    mark: &Mark,
) -> Result<(), StoreError> {
    let before = read(connection, authentic).await?;
    write(connection, authentic, &confirmed(&before, mark)).await
}

/// Locks the row: the mark that is written follows from the one that is read.
async fn read(connection: &mut PgConnection, authentic: &Authenticity) -> Result<Mark, StoreError> {
    let row = deployment_row(connection, "read the clock's mark", "FOR UPDATE").await?;
    authentic.check(&authentic::DEPLOYMENT, &row)?;
    decode::clock_mark(&row)
}

async fn write(
    connection: &mut PgConnection,
    authentic: &Authenticity,
    mark: &Mark,
) -> Result<(), StoreError> {
    let columns = MarkColumns::new(mark)?;
    let update = sqlx::query(
        "UPDATE deployment SET clock_high_water_ms = $1, clock_lag_ms = $2, clock_boot_id = $3,
                clock_boot_ms = $4, clock_gained_ms = $5",
    )
    .bind(columns.high_water)
    .bind(columns.lag)
    .bind(columns.boot_id)
    .bind(columns.boot)
    .bind(columns.gained);
    execute(connection, "write the clock's mark", update).await?;
    let table = &authentic::DEPLOYMENT;
    authentic.seal(&mut Rows(connection), table).await
}
