//! Which deployment this is, and the store's seat.

use std::sync::Arc;

use async_trait::async_trait;
use lethe_core::claim::StoreLocation;
use lethe_core::deployment_key::DeploymentKey;
use lethe_core::identity::DeploymentId;
use lethe_core::ports::{DeploymentStore, Seat, StoreError};
use lethe_store_sql::{authentic, decode};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::authentic::Rows;
use crate::open::PostgresStore;
use crate::statements::{execute, rows};

/// The only row, locked or not.
pub(crate) async fn deployment_row(
    connection: &mut PgConnection,
    name: &'static str,
    lock: &'static str,
) -> Result<PgRow, StoreError> {
    let query = format!(
        "SELECT row_id, id, clock_high_water_ms, clock_lag_ms, clock_boot_id, clock_boot_ms,
                clock_gained_ms, mac FROM deployment {lock}"
    );
    let mut rows = rows(connection, name, sqlx::query(AssertSqlSafe(query))).await?;
    rows.pop()
        .ok_or_else(|| StoreError::Corrupt("deployment: no row".into()))
}

impl PostgresStore {
    pub(crate) async fn deployment_row(&self, name: &'static str) -> Result<PgRow, StoreError> {
        let row = self.calls.read(name, move |connection| {
            Box::pin(deployment_row(connection, name, ""))
        });
        let row = row.await?;
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
                Box::pin(set_deployment(connection, id))
            })
            .await
    }

    async fn authenticate(&self, key: &DeploymentKey) -> Result<(), StoreError> {
        self.authentic.begin(key.clone());
        let authentic = Arc::clone(&self.authentic);
        self.calls
            .read("check rows", move |connection| {
                Box::pin(async move { authentic.check_used(&mut Rows(connection)).await })
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
            let query = sqlx::query("SELECT store_id, nonce, next FROM seat");
            Box::pin(rows(connection, name, query))
        });
        rows.await?.first().map(decode::seat).transpose()
    }

    async fn set_seat(&self, seat: &Seat) -> Result<(), StoreError> {
        let (name, seat) = ("set the seat", *seat);
        let set = self.calls.write(name, move |connection| {
            let replace = sqlx::query(
                "INSERT INTO seat (row_id, store_id, nonce, next) VALUES (1, $1, $2, $3)
                 ON CONFLICT (row_id) DO UPDATE SET
                     store_id = excluded.store_id, nonce = excluded.nonce, next = excluded.next",
            )
            .bind(seat.store.as_bytes().to_vec())
            .bind(seat.nonce.as_bytes().to_vec())
            .bind(seat.next.map(|next| next.as_bytes().to_vec()));
            Box::pin(execute(connection, name, replace))
        });
        set.await.map(drop)
    }
}

async fn set_deployment(connection: &mut PgConnection, id: DeploymentId) -> Result<(), StoreError> {
    let row = deployment_row(connection, "set deployment", "FOR UPDATE").await?;
    match decode::deployment(&row)? {
        Some(present) if present == id => return Ok(()),
        Some(_) => {
            return Err(StoreError::Conflict(
                "the store belongs to another deployment",
            ));
        }
        None => {}
    }
    let update = sqlx::query("UPDATE deployment SET id = $1").bind(id.as_bytes().to_vec());
    execute(connection, "set deployment", update)
        .await
        .map(drop)
}
