//! Accepted erasures.

use std::sync::Arc;

use async_trait::async_trait;
use lethe_core::erasure::{AcceptedErasure, Erasure, ErasureNumber};
use lethe_core::identity::KeyspaceId;
use lethe_core::keyspace::KeyspaceName;
use lethe_core::ports::{ErasureStore, StoreError};
use lethe_core::receipt::ErasureId;
use lethe_store_sql::authentic::{Authenticity, ERASURE};
use lethe_store_sql::decode;
use lethe_store_sql::encode::ErasureColumns;
use lethe_store_sql::row::signed;
use sqlx::PgConnection;

use crate::errors::during;
use crate::open::PostgresStore;
use crate::statements::{Statement, column, execute, rows};

/// A statement that reads erasures with their MACs.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT number, id, kind, keyspace_id, accepted_at_ms, leases_end_at_ms, tag,
                    commitment, leaves, keyspace_name, version, mac FROM request ",
            $rest
        )
    };
}

impl PostgresStore {
    async fn found(
        &self,
        name: &'static str,
        statement: Statement<'static>,
    ) -> Result<Vec<AcceptedErasure>, StoreError> {
        let rows = self.calls.read(name, move |connection| {
            Box::pin(rows(connection, name, statement))
        });
        let rows = rows.await?;
        let erasure = rows.iter().map(|row| {
            self.authentic.check(&ERASURE, row)?;
            decode::erasure(row)
        });
        erasure.collect()
    }
}

#[async_trait]
impl ErasureStore for PostgresStore {
    async fn accept(&self, erasures: &[Erasure]) -> Result<ErasureNumber, StoreError> {
        let (authentic, erasures) = (Arc::clone(&self.authentic), erasures.to_vec());
        self.calls
            .write("accept requests", move |connection| {
                Box::pin(async move { accept(connection, &authentic, &erasures).await })
            })
            .await
    }

    async fn erasures_by_id(&self, ids: &[ErasureId]) -> Result<Vec<AcceptedErasure>, StoreError> {
        let ids = column(ids, |id| id.as_bytes().to_vec());
        let query = sqlx::query(select!("WHERE id = ANY($1)")).bind(ids);
        self.found("find requests", query).await
    }

    async fn erasures(
        &self,
        first: ErasureNumber,
        last: ErasureNumber,
    ) -> Result<Vec<AcceptedErasure>, StoreError> {
        let query = sqlx::query(select!("WHERE number BETWEEN $1 AND $2 ORDER BY number"))
            .bind(signed(first.number(), "request.number")?)
            .bind(signed(last.number(), "request.number")?);
        self.found("read requests", query).await
    }

    async fn erase_of(
        &self,
        name: &KeyspaceName,
        id: KeyspaceId,
    ) -> Result<Option<ErasureId>, StoreError> {
        let query = sqlx::query(select!(
            "WHERE kind = 2 AND keyspace_name = $1 AND keyspace_id = $2 ORDER BY number LIMIT 1"
        ))
        .bind(name.as_str().to_owned())
        .bind(id.as_bytes().to_vec());
        let found = self.found("find an erase", query).await?;
        Ok(found.first().map(|accepted| accepted.erasure.id))
    }

    async fn open_erasures(
        &self,
        fulfilled: ErasureNumber,
    ) -> Result<Vec<AcceptedErasure>, StoreError> {
        let query = sqlx::query(select!("WHERE number > $1 ORDER BY number"));
        let query = query.bind(signed(fulfilled.number(), "request.number")?);
        self.found("read open requests", query).await
    }
}

/// Binds the columns that both tables of erasures have: `id`, `kind`, `keyspace_id`, `tag`, `commitment`,
/// `leaves`, `keyspace_name`, `version`.
pub(crate) fn bind<'q>(statement: Statement<'q>, rows: &[ErasureColumns]) -> Statement<'q> {
    statement
        .bind(column(rows, |it| it.id.clone()))
        .bind(column(rows, |it| it.kind))
        .bind(column(rows, |it| it.keyspace.clone()))
        .bind(column(rows, |it| it.tag.clone()))
        .bind(column(rows, |it| it.commitment.clone()))
        .bind(column(rows, |it| it.leaves.clone()))
        .bind(column(rows, |it| it.name.clone()))
        .bind(column(rows, |it| it.version))
}

/// Locks the end of the table until the transaction ends: nobody else accepts erasures meanwhile.
pub(crate) async fn lock(connection: &mut PgConnection) -> Result<(), StoreError> {
    let lock = sqlx::query("SELECT FROM head FOR UPDATE");
    execute(connection, "lock the end of the requests", lock)
        .await
        .map(drop)
}

/// Locks the end of the table, too.
pub(crate) async fn accept(
    connection: &mut PgConnection,
    authentic: &Authenticity,
    erasures: &[Erasure],
) -> Result<ErasureNumber, StoreError> {
    let advance = "UPDATE head SET last_request = last_request + $1 RETURNING last_request";
    let many = erasures.len() as i64;
    let last: i64 = sqlx::query_scalar(advance)
        .bind(many)
        .fetch_one(&mut *connection)
        .await
        .map_err(during("number requests"))?;
    let first = last - many + 1;
    let rows = ErasureColumns::numbered(first, erasures)?;
    let insert = sqlx::query(
        "INSERT INTO request (number, accepted_at_ms, leases_end_at_ms, mac, id, kind, keyspace_id,
             tag, commitment, leaves, keyspace_name, version)
         SELECT number, accepted_at_ms, leases_end_at_ms, mac, id, kind, keyspace_id,
             tag, commitment, leaves, keyspace_name, version
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bigint[],
                     $7::bytea[], $8::bytea[], $9::bytea[], $10::bytea[], $11::text[], $12::bigint[])
              AS new (number, accepted_at_ms, leases_end_at_ms, mac, id, kind, keyspace_id,
                      tag, commitment, leaves, keyspace_name, version)",
    )
    .bind(column(&rows, |it| it.number))
    .bind(column(&rows, |it| it.accepted_at))
    .bind(column(&rows, |it| it.leases_end_at))
    .bind(column(&rows, |it| it.mac(authentic)));
    execute(connection, "accept requests", bind(insert, &rows)).await?;
    Ok(ErasureNumber::new(first.cast_unsigned()))
}
