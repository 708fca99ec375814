//! Where the clock stood, in the row of the deployment.

use async_trait::async_trait;
use lethe_core::clock::Mark;
use lethe_core::ports::{ClockStore, StoreError};
use lethe_store_sql::authentic::Authenticity;
use lethe_store_sql::{clock, decode};
use sqlx::SqliteConnection;

use crate::open::SqliteStore;
use crate::statements::Db;

#[async_trait]
impl ClockStore for SqliteStore {
    async fn clock_mark(&self) -> Result<Mark, StoreError> {
        decode::clock_mark(&self.deployment_row("read the clock's mark").await?)
    }

    async fn raise_clock_mark(&self, mark: &Mark) -> Result<(), StoreError> {
        let mut write = self.write("raise the clock's mark").await?;
        let done = clock::raise(&mut Db(&mut write.inner), &self.authentic, mark).await;
        write.finish(done).await
    }

    async fn confirm_clock(&self, mark: &Mark) -> Result<(), StoreError> {
        let mut write = self.write("confirm the clock").await?;
        let done = confirm(&mut write.inner, &self.authentic, mark).await;
        write.finish(done).await
    }
}

pub(crate) async fn confirm(
    connection: &mut SqliteConnection,
    authentic: &Authenticity,
    mark: &Mark,
) -> Result<(), StoreError> {
    clock::confirm(&mut Db(connection), authentic, mark).await
}
