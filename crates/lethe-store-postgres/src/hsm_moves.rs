//! A move to another HSM.

use std::sync::Arc;

use async_trait::async_trait;
use lethe_core::ports::{HsmMove, HsmMoveStore, StoreError};
use lethe_core::succession::PublishedKey;
use lethe_store_sql::authentic::{Authenticity, HSM_MOVE, SIGNING_KEY};
use lethe_store_sql::decode;
use lethe_store_sql::encode::purpose_number;
use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use crate::authentic::Rows;
use crate::open::PostgresStore;
use crate::statements::{execute, rows};

#[async_trait]
impl HsmMoveStore for PostgresStore {
    async fn signing_keys(&self) -> Result<Vec<PublishedKey>, StoreError> {
        let name = "read signing keys";
        let rows = self.calls.read(name, move |connection| {
            let query = sqlx::query(
                "SELECT number, id, purpose, public_key, predecessor, endorsement, mac
                 FROM signing_key ORDER BY number",
            );
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
            let query = sqlx::query("SELECT row_id, emptied, mac FROM hsm_move");
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
                Box::pin(async move { emptied(connection, &authentic).await })
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
    let insert = sqlx::query("INSERT INTO hsm_move (row_id) VALUES (1) ON CONFLICT DO NOTHING");
    if execute(connection, "begin HSM move", insert).await? != 1 {
        return Err(StoreError::Conflict("a move to another HSM is under way"));
    }
    let rows = &mut Rows(connection);
    authentic.check_all(rows, &SIGNING_KEY).await?;
    for PublishedKey { key, succession } in keys {
        let insert = sqlx::query(
            "INSERT INTO signing_key (id, purpose, public_key, predecessor, endorsement)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING",
        )
        .bind(key.id.as_bytes().to_vec())
        .bind(purpose_number(key.purpose))
        .bind(key.public_key.to_vec())
        .bind(succession.map(|it| it.predecessor.as_bytes().to_vec()))
        .bind(succession.map(|it| it.endorsement.to_vec()));
        execute(&mut *rows.0, "begin HSM move", insert).await?;
    }
    // Those that were there were checked; the others are new.
    authentic.seal(rows, &SIGNING_KEY).await?;
    authentic.seal(rows, &HSM_MOVE).await
}

async fn emptied(
    connection: &mut PgConnection,
    authentic: &Authenticity,
) -> Result<(), StoreError> {
    authentic
        .check_all(&mut Rows(connection), &HSM_MOVE)
        .await?;
    let update = sqlx::query("UPDATE hsm_move SET emptied = 1");
    execute(connection, "HSM is emptied", update).await?;
    authentic.seal(&mut Rows(connection), &HSM_MOVE).await
}
