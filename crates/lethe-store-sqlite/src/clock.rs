//! Where the clock stood, in the row of the deployment.

use async_trait::async_trait;
use lethe_core::clock::Mark;
use lethe_core::ports::{ClockStore, StoreError};
use lethe_core::time::Timestamp;
use sqlx::SqliteConnection;

use crate::authentic::{self, Authenticity};
use crate::decode::{self, signed};
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
    if mark.high_water < before.high_water {
        return Ok(());
    }
    let lag = before.lag;
    write(connection, authentic, &Mark { lag, ..*mark }).await
}

/// The time never sinks.
pub(crate) async fn confirm(
    connection: &mut SqliteConnection,
    authentic: &Authenticity,
    mark: &Mark,
) -> Result<(), StoreError> {
    let before = read(connection, authentic).await?;
    if mark.high_water < before.high_water {
        let lag = mark.lag;
        return write(connection, authentic, &Mark { lag, ..before }).await;
    }
    write(connection, authentic, mark).await
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
    let number = |millis: u128, column| signed(u64::try_from(millis).unwrap_or(u64::MAX), column);
    let high_water = mark.high_water.map(Timestamp::as_millis);
    let high_water = high_water.map(|it| signed(it, "deployment.clock_high_water_ms"));
    let boot = mark.boot.map(|boot| boot.since_boot.as_millis());
    let boot = boot.map(|it| number(it, "deployment.clock_boot_ms"));
    let lag = number(mark.lag.as_millis(), "deployment.clock_lag_ms")?;
    let gained = number(mark.gained.as_millis(), "deployment.clock_gained_ms")?;
    let update = sqlx::query(
        "UPDATE deployment SET clock_high_water_ms = ?, clock_lag_ms = ?, clock_boot_id = ?,
                clock_boot_ms = ?, clock_gained_ms = ?",
    )
    .bind(high_water.transpose()?)
    .bind(lag)
    .bind(mark.boot.map(|boot| boot.id.to_vec()))
    .bind(boot.transpose()?)
    .bind(gained);
    match execute(connection, "write the clock's mark", update).await? {
        1 => {
            let table = &authentic::DEPLOYMENT;
            authentic.seal_where(connection, table, "true").await
        }
        _ => Err(StoreError::Corrupt("deployment: not one row".into())),
    }
}
