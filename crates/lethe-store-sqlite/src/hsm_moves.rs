//! A move to another HSM.

use async_trait::async_trait;
use lethe_core::ports::{HsmMove, HsmMoveStore, StoreError};
use lethe_core::succession::PublishedKey;
use lethe_store_sql::authentic::{Authenticity, HSM_MOVE, SIGNING_KEY};
use lethe_store_sql::hsm_moves::{MOVE, SIGNING_KEYS};
use lethe_store_sql::{decode, hsm_moves};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::open::SqliteStore;
use crate::statements::{Db, execute};

#[async_trait]
impl HsmMoveStore for SqliteStore {
    async fn signing_keys(&self) -> Result<Vec<PublishedKey>, StoreError> {
        let rows = self.rows("read signing keys", SIGNING_KEYS);
        let signing_key = |row: &SqliteRow| {
            self.authentic.check(&SIGNING_KEY, row)?;
            decode::signing_key(row)
        };
        rows.await?.iter().map(signing_key).collect()
    }

    async fn hsm_move(&self) -> Result<Option<HsmMove>, StoreError> {
        let rows = self.rows("read HSM move", MOVE);
        let hsm_move = |row: &SqliteRow| {
            self.authentic.check(&HSM_MOVE, row)?;
            decode::hsm_move(row)
        };
        rows.await?.first().map(hsm_move).transpose()
    }

    async fn begin_hsm_move(&self, keys: &[PublishedKey]) -> Result<(), StoreError> {
        let mut write = self.write("begin HSM move").await?;
        let done = begin(&mut write.inner, &self.authentic, keys).await;
        write.finish(done).await
    }

    async fn hsm_is_emptied(&self) -> Result<(), StoreError> {
        let mut write = self.write("HSM is emptied").await?;
        let done = hsm_moves::emptied(&mut Db(&mut write.inner), &self.authentic).await;
        write.finish(done).await
    }

    async fn finish_hsm_move(&self) -> Result<(), StoreError> {
        let mut write = self.write("finish HSM move").await?;
        let done = finish(&mut write.inner).await;
        write.finish(done).await
    }
}

pub(crate) async fn begin(
    connection: &mut SqliteConnection,
    authentic: &Authenticity,
    keys: &[PublishedKey],
) -> Result<(), StoreError> {
    hsm_moves::begin(&mut Db(connection), authentic, keys).await
}

async fn finish(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let delete = sqlx::query("DELETE FROM hsm_move");
    execute(connection, "finish HSM move", delete)
        .await
        .map(drop)
}
