//! Which deployment this is, and the store's seat.

use async_trait::async_trait;
use lethe_core::claim::StoreLocation;
use lethe_core::deployment_key::DeploymentKey;
use lethe_core::identity::DeploymentId;
use lethe_core::ports::{DeploymentStore, Seat, StoreError};
use lethe_store_sql::deployment::{DEPLOYMENT, SEAT};
use lethe_store_sql::{authentic, decode, deployment};
use sqlx::sqlite::SqliteRow;

use crate::errors::during;
use crate::open::SqliteStore;
use crate::statements::Db;

impl SqliteStore {
    pub(crate) async fn deployment_row(&self, name: &'static str) -> Result<SqliteRow, StoreError> {
        let row = self.rows(name, DEPLOYMENT).await?.pop();
        let row = row.ok_or_else(|| StoreError::Corrupt("deployment: no row".into()))?;
        self.authentic.check(&authentic::DEPLOYMENT, &row)?;
        Ok(row)
    }
}

#[async_trait]
impl DeploymentStore for SqliteStore {
    async fn deployment(&self) -> Result<Option<DeploymentId>, StoreError> {
        decode::deployment(&self.deployment_row("read deployment").await?)
    }

    async fn set_deployment(&self, id: DeploymentId) -> Result<(), StoreError> {
        let mut write = self.write("set deployment").await?;
        let done = deployment::set(&mut Db(&mut write.inner), id).await;
        write.finish(done).await
    }

    async fn authenticate(&self, key: &DeploymentKey) -> Result<(), StoreError> {
        self.authentic.begin(key.clone());
        let mut reader = self.reader.acquire().await.map_err(during("check rows"))?;
        self.authentic.check_used(&mut Db(&mut reader)).await
    }

    fn altered(&self) -> Option<&str> {
        self.authentic.altered()
    }

    fn location(&self) -> &StoreLocation {
        &self.location
    }

    async fn seat(&self) -> Result<Option<Seat>, StoreError> {
        let rows = self.rows("read the seat", SEAT).await?;
        rows.first().map(decode::seat).transpose()
    }

    async fn set_seat(&self, seat: &Seat) -> Result<(), StoreError> {
        let mut write = self.write("set the seat").await?;
        let done = deployment::set_seat(&mut Db(&mut write.inner), seat).await;
        write.finish(done).await
    }
}
