//! How each client used each key version.

use async_trait::async_trait;
use lethe_core::ports::{KeyUse, KeyUseStore, StoreError};
use lethe_core::time::Timestamp;
use lethe_store_sql::decode;
use lethe_store_sql::row::signed;
use sqlx::PgConnection;

use crate::open::PostgresStore;
use crate::statements::{column, execute, rows};

#[async_trait]
impl KeyUseStore for PostgresStore {
    async fn key_uses(&self) -> Result<Vec<KeyUse>, StoreError> {
        let name = "read key uses";
        let rows = self.calls.read(name, move |connection| {
            let query = sqlx::query(
                "SELECT keyspace_id, version, client, issued, last_issued_ms, unwrapped,
                        last_unwrapped_ms FROM key_use",
            );
            Box::pin(rows(connection, name, query))
        });
        rows.await?.iter().map(decode::key_use).collect()
    }

    async fn add_key_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        let uses = uses.to_vec();
        self.calls
            .write("add key uses", move |connection| {
                Box::pin(add(connection, uses))
            })
            .await
    }
}

async fn add(connection: &mut PgConnection, all: Vec<KeyUse>) -> Result<(), StoreError> {
    let number = |of: fn(&KeyUse) -> u64, name: &'static str| {
        let numbers = all.iter().map(move |it| signed(of(it), name));
        numbers.collect::<Result<Vec<_>, _>>()
    };
    let time = |of: fn(&KeyUse) -> Option<Timestamp>, name: &'static str| {
        let millis = all.iter().map(move |it| {
            let millis = of(it).map(|time| signed(time.as_millis(), name));
            millis.transpose()
        });
        millis.collect::<Result<Vec<_>, _>>()
    };
    let keyspaces = column(&all, |it| it.keyspace.as_bytes().to_vec());
    let versions = column(&all, |it| i64::from(it.version.number()));
    // Locked in the order in which a drop locks them, so that neither waits for the other: the keyspace, then its
    // versions. What is dropped meanwhile is not found any more, and gets no row.
    let lock = sqlx::query(
        "SELECT FROM keyspace k JOIN key_version v ON v.keyspace_id = k.id
         WHERE (v.keyspace_id, v.version) IN (SELECT * FROM unnest($1::bytea[], $2::bigint[]))
         ORDER BY v.keyspace_id, v.version FOR KEY SHARE",
    );
    let lock = lock.bind(keyspaces.clone()).bind(versions.clone());
    execute(connection, "add key uses", lock).await?;
    // Sorted, so that two of us wait in the same order.
    let insert = sqlx::query(
        "INSERT INTO key_use AS u (keyspace_id, version, client, issued, last_issued_ms, unwrapped,
             last_unwrapped_ms)
         SELECT keyspace_id, version, client, sum(issued)::bigint, max(last_issued_ms),
                sum(unwrapped)::bigint, max(last_unwrapped_ms)
         FROM unnest($1::bytea[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
                     $7::bigint[])
              AS new (keyspace_id, version, client, issued, last_issued_ms, unwrapped, last_unwrapped_ms)
         JOIN key_version USING (keyspace_id, version)
         GROUP BY keyspace_id, version, client ORDER BY keyspace_id, version, client
         ON CONFLICT (keyspace_id, version, client) DO UPDATE SET
             issued = u.issued + excluded.issued,
             last_issued_ms = greatest(u.last_issued_ms, excluded.last_issued_ms),
             unwrapped = u.unwrapped + excluded.unwrapped,
             last_unwrapped_ms = greatest(u.last_unwrapped_ms, excluded.last_unwrapped_ms)",
    )
    .bind(keyspaces)
    .bind(versions)
    .bind(column(&all, |it| it.client.to_string()))
    .bind(number(|it| it.uses.issued, "key_use.issued")?)
    .bind(time(|it| it.uses.last_issued, "key_use.last_issued_ms")?)
    .bind(number(|it| it.uses.unwrapped, "key_use.unwrapped")?)
    .bind(time(
        |it| it.uses.last_unwrapped,
        "key_use.last_unwrapped_ms",
    )?);
    execute(connection, "add key uses", insert).await.map(drop)
}
