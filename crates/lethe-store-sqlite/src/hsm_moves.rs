//! A move to another HSM.

use async_trait::async_trait;
use lethe_core::ports::{HsmMove, HsmMoveStore, StoreError};
use lethe_core::succession::PublishedKey;
use lethe_store_sql::authentic::{Authenticity, HSM_MOVE, SIGNING_KEY};
use lethe_store_sql::decode;
use lethe_store_sql::encode::purpose_number;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::authentic::Rows;
use crate::open::SqliteStore;
use crate::statements::execute;

const SIGNING_KEYS: &str =
    "SELECT number, id, purpose, public_key, predecessor, endorsement, mac FROM signing_key
     ORDER BY number";

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
        let rows = self.rows("read HSM move", "SELECT row_id, emptied, mac FROM hsm_move");
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
        let done = emptied(&mut write.inner, &self.authentic).await;
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
    let rows = &mut Rows(connection);
    authentic.check_all(rows, &SIGNING_KEY).await?;
    let insert = sqlx::query("INSERT INTO hsm_move (row_id) VALUES (1) ON CONFLICT DO NOTHING");
    if execute(connection, "begin HSM move", insert).await? != 1 {
        return Err(StoreError::Conflict("a move to another HSM is under way"));
    }
    for PublishedKey { key, succession } in keys {
        let before = succession.map(|it| it.predecessor.as_bytes().to_vec());
        let insert = sqlx::query(
            "INSERT INTO signing_key (id, purpose, public_key, predecessor, endorsement)
             VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
        )
        .bind(key.id.as_bytes().to_vec())
        .bind(purpose_number(key.purpose))
        .bind(key.public_key.to_vec())
        .bind(before)
        .bind(succession.map(|it| it.endorsement.to_vec()));
        execute(connection, "begin HSM move", insert).await?;
    }
    // Those that were there were checked; the others are new.
    let rows = &mut Rows(connection);
    authentic.seal(rows, &SIGNING_KEY).await?;
    authentic.seal(rows, &HSM_MOVE).await
}

async fn emptied(
    connection: &mut SqliteConnection,
    authentic: &Authenticity,
) -> Result<(), StoreError> {
    authentic
        .check_all(&mut Rows(connection), &HSM_MOVE)
        .await?;
    let update = sqlx::query("UPDATE hsm_move SET emptied = 1");
    execute(connection, "HSM is emptied", update).await?;
    authentic.seal(&mut Rows(connection), &HSM_MOVE).await
}

async fn finish(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let delete = sqlx::query("DELETE FROM hsm_move");
    execute(connection, "finish HSM move", delete)
        .await
        .map(drop)
}
