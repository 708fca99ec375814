//! Where the clock stood, in the row of the deployment.

use async_trait::async_trait;
use lethe_core::clock::Mark;
use lethe_core::ports::{ClockStore, StoreError};
use lethe_store_sql::authentic::{self, Authenticity};
use lethe_store_sql::clock::{MarkColumns, confirmed, raised};
use lethe_store_sql::decode;
use sqlx::SqliteConnection;

use crate::authentic::Rows;
use crate::deployment::DEPLOYMENT;
use crate::errors::during;
use crate::open::SqliteStore;
use crate::statements::execute;

#[async_trait]
impl ClockStore for SqliteStore {
    async fn clock_mark(&self) -> Result<Mark, StoreError> {
        decode::clock_mark(&self.deployment_row("read the clock's mark").await?)
    }

    async fn raise_clock_mark(&self, mark: &Mark) -> Result<(), StoreError> {
        let mut write = self.write("raise the clock's mark").await?;
        let done = raise(&mut write.inner, &self.authentic, mark).await;
        write.finish(done).await
    }

    async fn confirm_clock(&self, mark: &Mark) -> Result<(), StoreError> {
        let mut write = self.write("confirm the clock").await?;
        let done = confirm(&mut write.inner, &self.authentic, mark).await;
        write.finish(done).await
    }
}

/// Nothing where a later time stands there.
pub(crate) async fn raise(
    connection: &mut SqliteConnection,
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
    connection: &mut SqliteConnection,
    authentic: &Authenticity,
    mark: &Mark,
) -> Result<(), StoreError> {
    let before = read(connection, authentic).await?;
    write(connection, authentic, &confirmed(&before, mark)).await
}

async fn read(
    connection: &mut SqliteConnection,
    authentic: &Authenticity,
) -> Result<Mark, StoreError> {
    let row = sqlx::query(DEPLOYMENT).fetch_one(connection).await;
    let row = row.map_err(during("read the clock's mark"))?;
    authentic.check(&authentic::DEPLOYMENT, &row)?;
    decode::clock_mark(&row)
}

async fn write(
    connection: &mut SqliteConnection,
    authentic: &Authenticity,
    mark: &Mark,
) -> Result<(), StoreError> {
    let columns = MarkColumns::new(mark)?;
    let update = sqlx::query(
        "UPDATE deployment SET clock_high_water_ms = ?, clock_lag_ms = ?, clock_boot_id = ?,
                clock_boot_ms = ?, clock_gained_ms = ?",
    )
    .bind(columns.high_water)
    .bind(columns.lag)
    .bind(columns.boot_id)
    .bind(columns.boot)
    .bind(columns.gained);
    match execute(connection, "write the clock's mark", update).await? {
        1 => {
            let table = &authentic::DEPLOYMENT;
            authentic.seal(&mut Rows(connection), table).await
        }
        _ => Err(StoreError::Corrupt("deployment: not one row".into())),
    }
}
