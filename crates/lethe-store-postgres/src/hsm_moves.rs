//! A move to another HSM.

use std::sync::Arc;

use async_trait::async_trait;
use lethe_core::ports::{HsmMove, HsmMoveStore, StoreError};
use lethe_core::succession::PublishedKey;
use lethe_store_sql::authentic::{Authenticity, HSM_MOVE, SIGNING_KEY};
use lethe_store_sql::hsm_moves::{MOVE, SIGNING_KEYS};
use lethe_store_sql::{decode, hsm_moves};
use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use crate::open::PostgresStore;
use crate::statements::{Db, execute, rows};

#[async_trait]
impl HsmMoveStore for PostgresStore {
    async fn signing_keys(&self) -> Result<Vec<PublishedKey>, StoreError> {
        let name = "read signing keys";
        let rows = self.calls.read(name, move |connection| {
            let query = sqlx::query(SIGNING_KEYS);
            Box::pin(rows(connection, name, query))
        });
        let signing_key = |row: &PgRow| {
            self.authentic.check(&SIGNING_KEY, row)?;
            decode::signing_key(row)
        };
        rows.await?.iter().map(signing_key).collect()
    }

    async fn hsm_move(&self) -> Result<Option<HsmMove>, StoreError> {
        let name = "read HSM move";
        let rows = self.calls.read(name, move |connection| {
            let query = sqlx::query(MOVE);
            Box::pin(rows(connection, name, query))
        });
        let hsm_move = |row: &PgRow| {
            self.authentic.check(&HSM_MOVE, row)?;
            decode::hsm_move(row)
        };
        rows.await?.first().map(hsm_move).transpose()
    }

    async fn begin_hsm_move(&self, keys: &[PublishedKey]) -> Result<(), StoreError> {
        let (authentic, keys) = (Arc::clone(&self.authentic), keys.to_vec());
        self.calls
            .write("begin HSM move", move |connection| {
                Box::pin(async move { begin(connection, &authentic, &keys).await })
            })
            .await
    }

    async fn hsm_is_emptied(&self) -> Result<(), StoreError> {
        let authentic = Arc::clone(&self.authentic);
        self.calls
            .write("HSM is emptied", move |connection| {
                Box::pin(async move { hsm_moves::emptied(&mut Db(connection), &authentic).await })
            })
            .await
    }

    async fn finish_hsm_move(&self) -> Result<(), StoreError> {
        let name = "finish HSM move";
        let finished = self.calls.write(name, move |connection| {
            Box::pin(execute(
                connection,
                name,
                sqlx::query("DELETE FROM hsm_move"),
            ))
        });
        finished.await.map(drop)
    }
}

pub(crate) async fn begin(
    connection: &mut PgConnection,
    authentic: &Authenticity,
    keys: &[PublishedKey],
) -> Result<(), StoreError> {
    hsm_moves::begin(&mut Db(connection), authentic, keys).await
}
