//! Which deployment this is, and the store's seat.

use async_trait::async_trait;
use lethe_core::claim::StoreLocation;
use lethe_core::deployment_key::DeploymentKey;
use lethe_core::identity::DeploymentId;
use lethe_core::ports::{DeploymentStore, Seat, StoreError};
use lethe_store_sql::{authentic, decode};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::authentic::Rows;
use crate::errors::during;
use crate::open::SqliteStore;
use crate::statements::execute;

pub(crate) const DEPLOYMENT: &str =
    "SELECT row_id, id, clock_high_water_ms, clock_lag_ms, clock_boot_id, clock_boot_ms,
            clock_gained_ms, mac FROM deployment";

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
        let done = set_deployment(&mut write.inner, id).await;
        write.finish(done).await
    }

    async fn authenticate(&self, key: &DeploymentKey) -> Result<(), StoreError> {
        self.authentic.begin(key.clone());
        let mut reader = self.reader.acquire().await.map_err(during("check rows"))?;
        self.authentic.check_used(&mut Rows(&mut reader)).await
    }

    fn altered(&self) -> Option<&str> {
        self.authentic.altered()
    }

    fn location(&self) -> &StoreLocation {
        &self.location
    }

    async fn seat(&self) -> Result<Option<Seat>, StoreError> {
        let statement = "SELECT store_id, nonce, next FROM seat";
        let rows = self.rows("read the seat", statement).await?;
        rows.first().map(decode::seat).transpose()
    }

    async fn set_seat(&self, seat: &Seat) -> Result<(), StoreError> {
        let mut write = self.write("set the seat").await?;
        let done = set_seat(&mut write.inner, seat).await;
        write.finish(done).await
    }
}

async fn set_deployment(
    connection: &mut SqliteConnection,
    id: DeploymentId,
) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT id FROM deployment")
        .fetch_one(&mut *connection)
        .await
        .map_err(during("set deployment"))?;
    match decode::deployment(&row)? {
        Some(present) if present == id => return Ok(()),
        Some(_) => {
            return Err(StoreError::Conflict(
                "the store belongs to another deployment",
            ));
        }
        None => {}
    }
    let update = sqlx::query("UPDATE deployment SET id = ?").bind(id.as_bytes().to_vec());
    execute(connection, "set deployment", update)
        .await
        .map(drop)
}

async fn set_seat(connection: &mut SqliteConnection, seat: &Seat) -> Result<(), StoreError> {
    let replace = sqlx::query(
        "INSERT INTO seat (row_id, store_id, nonce, next) VALUES (1, ?, ?, ?)
         ON CONFLICT (row_id) DO UPDATE SET
             store_id = excluded.store_id, nonce = excluded.nonce, next = excluded.next",
    )
    .bind(seat.store.as_bytes().to_vec())
    .bind(seat.nonce.as_bytes().to_vec())
    .bind(seat.next.map(|next| next.as_bytes().to_vec()));
    execute(connection, "set the seat", replace).await.map(drop)
}
