//! Which deployment this is, and the store's seat.

use std::sync::Arc;

use async_trait::async_trait;
use lethe_core::claim::StoreLocation;
use lethe_core::deployment_key::DeploymentKey;
use lethe_core::identity::DeploymentId;
use lethe_core::ports::{DeploymentStore, Seat, StoreError};
use lethe_store_sql::deployment::{DEPLOYMENT, SEAT};
use lethe_store_sql::{authentic, decode, deployment};
use sqlx::postgres::PgRow;

use crate::open::PostgresStore;
use crate::statements::{Db, rows};

impl PostgresStore {
    pub(crate) async fn deployment_row(&self, name: &'static str) -> Result<PgRow, StoreError> {
        let rows = self.calls.read(name, move |connection| {
            Box::pin(rows(connection, name, sqlx::query(DEPLOYMENT)))
        });
        let row = rows.await?.pop();
        let row = row.ok_or_else(|| StoreError::Corrupt("deployment: no row".into()))?;
        self.authentic.check(&authentic::DEPLOYMENT, &row)?;
        Ok(row)
    }
}

#[async_trait]
impl DeploymentStore for PostgresStore {
    async fn deployment(&self) -> Result<Option<DeploymentId>, StoreError> {
        decode::deployment(&self.deployment_row("read deployment").await?)
    }

    async fn set_deployment(&self, id: DeploymentId) -> Result<(), StoreError> {
        self.calls
            .write("set deployment", move |connection| {
                Box::pin(async move { deployment::set(&mut Db(connection), id).await })
            })
            .await
    }

    async fn authenticate(&self, key: &DeploymentKey) -> Result<(), StoreError> {
        self.authentic.begin(key.clone());
        let authentic = Arc::clone(&self.authentic);
        self.calls
            .read("check rows", move |connection| {
                Box::pin(async move { authentic.check_used(&mut Db(connection)).await })
            })
            .await
    }

    fn altered(&self) -> Option<&str> {
        self.authentic.altered()
    }

    fn location(&self) -> &StoreLocation {
        &self.location
    }

    async fn seat(&self) -> Result<Option<Seat>, StoreError> {
        let name = "read the seat";
        let rows = self.calls.read(name, move |connection| {
            let query = sqlx::query(SEAT);
            Box::pin(rows(connection, name, query))
        });
        rows.await?.first().map(decode::seat).transpose()
    }

    async fn set_seat(&self, seat: &Seat) -> Result<(), StoreError> {
        let seat = *seat;
        self.calls
            .write("set the seat", move |connection| {
                Box::pin(async move { deployment::set_seat(&mut Db(connection), &seat).await })
            })
            .await
    }
}
