//! Where the clock stood, in the row of the deployment.

use std::sync::Arc;

use async_trait::async_trait;
use lethe_core::clock::Mark;
use lethe_core::ports::{ClockStore, StoreError};
use lethe_store_sql::authentic::Authenticity;
use lethe_store_sql::{clock, decode};
use sqlx::PgConnection;

use crate::open::PostgresStore;
use crate::statements::Db;

#[async_trait]
impl ClockStore for PostgresStore {
    async fn clock_mark(&self) -> Result<Mark, StoreError> {
        decode::clock_mark(&self.deployment_row("read the clock's mark").await?)
    }

    async fn raise_clock_mark(&self, mark: &Mark) -> Result<(), StoreError> {
        let (authentic, mark) = (Arc::clone(&self.authentic), *mark);
        self.calls
            .write("raise the clock's mark", move |connection| {
                Box::pin(async move { clock::raise(&mut Db(connection), &authentic, &mark).await })
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

pub(crate) async fn confirm(
    connection: &mut PgConnection,
    authentic: &Authenticity,
    mark: &Mark,
) -> Result<(), StoreError> {
    clock::confirm(&mut Db(connection), authentic, mark).await
}
