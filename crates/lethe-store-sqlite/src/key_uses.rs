//! How each client used each key version.

use async_trait::async_trait;
use lethe_core::ports::{KeyUse, KeyUseStore, StoreError};
use lethe_core::time::Timestamp;
use lethe_store_sql::decode;
use lethe_store_sql::row::signed;
use sqlx::SqliteConnection;

use crate::open::SqliteStore;
use crate::statements::execute;

#[async_trait]
impl KeyUseStore for SqliteStore {
    async fn key_uses(&self) -> Result<Vec<KeyUse>, StoreError> {
        let statement = "SELECT keyspace_id, version, client, issued, last_issued_ms, unwrapped,
                                last_unwrapped_ms FROM key_use";
        let rows = self.rows("read key uses", statement).await?;
        rows.iter().map(decode::key_use).collect()
    }

    async fn add_key_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        let mut write = self.write("add key uses").await?;
        let done = add(&mut write.inner, uses).await;
        write.finish(done).await
    }
}

async fn add(connection: &mut SqliteConnection, all: &[KeyUse]) -> Result<(), StoreError> {
    let millis = |time: Option<Timestamp>, column| {
        time.map(|time| signed(time.as_millis(), column))
            .transpose()
    };
    for one in all {
        let uses = &one.uses;
        // A version that is dropped by now gets no row.
        let insert = sqlx::query(
            "INSERT INTO key_use
             SELECT keyspace_id, version, ?3, ?4, ?5, ?6, ?7 FROM key_version
             WHERE keyspace_id = ?1 AND version = ?2
             ON CONFLICT DO UPDATE SET issued = issued + excluded.issued,
                 last_issued_ms =
                     nullif(max(ifnull(last_issued_ms, -1), ifnull(excluded.last_issued_ms, -1)), -1),
                 unwrapped = unwrapped + excluded.unwrapped,
                 last_unwrapped_ms =
                     nullif(max(ifnull(last_unwrapped_ms, -1), ifnull(excluded.last_unwrapped_ms, -1)), -1)",
        )
        .bind(one.keyspace.as_bytes().to_vec())
        .bind(i64::from(one.version.number()))
        .bind(one.client.to_string())
        .bind(signed(uses.issued, "key_use.issued")?)
        .bind(millis(uses.last_issued, "key_use.last_issued_ms")?)
        .bind(signed(uses.unwrapped, "key_use.unwrapped")?)
        .bind(millis(uses.last_unwrapped, "key_use.last_unwrapped_ms")?);
        execute(connection, "add key uses", insert).await?;
    }
    Ok(())
}
