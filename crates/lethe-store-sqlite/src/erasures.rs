//! Accepted erasures.

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
use sqlx::query_builder::Separated;
use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, SqliteConnection};

use crate::chunks::{chunks, in_list, insert};
use crate::errors::during;
use crate::open::SqliteStore;

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

/// The columns of [`push_erasure`].
macro_rules! erasure_columns {
    () => {
        "id, kind, keyspace_id, tag, commitment, leaves, keyspace_name, version"
    };
}
pub(crate) use erasure_columns;

/// Binds the columns that both tables of erasures have, in the order of [`erasure_columns`].
pub(crate) fn push_erasure(
    columns: &ErasureColumns,
    row: &mut Separated<'_, Sqlite, &'static str>,
) {
    row.push_bind(columns.id.clone());
    row.push_bind(columns.kind);
    row.push_bind(columns.keyspace.clone());
    row.push_bind(columns.tag.clone());
    row.push_bind(columns.commitment.clone());
    row.push_bind(columns.leaves.clone());
    row.push_bind(columns.name.clone());
    row.push_bind(columns.version);
}

#[async_trait]
impl ErasureStore for SqliteStore {
    async fn accept(&self, erasures: &[Erasure]) -> Result<ErasureNumber, StoreError> {
        let mut write = self.write("accept requests").await?;
        let done = accept(&mut write.inner, &self.authentic, erasures).await;
        write.finish(done).await
    }

    async fn erasures_by_id(&self, ids: &[ErasureId]) -> Result<Vec<AcceptedErasure>, StoreError> {
        let mut found = Vec::new();
        let keys: Vec<Vec<u8>> = ids.iter().map(|id| id.as_bytes().to_vec()).collect();
        for keys in chunks(&keys) {
            let mut query = in_list(select!("WHERE id IN"), keys);
            let rows = query.build().fetch_all(&self.reader).await;
            for row in rows.map_err(during("find requests"))? {
                found.push(checked(&self.authentic, &row)?);
            }
        }
        Ok(found)
    }

    async fn erasures(
        &self,
        first: ErasureNumber,
        last: ErasureNumber,
    ) -> Result<Vec<AcceptedErasure>, StoreError> {
        let rows = sqlx::query(select!("WHERE number BETWEEN ? AND ? ORDER BY number"))
            .bind(signed(first.number(), "request.number")?)
            .bind(signed(last.number(), "request.number")?)
            .fetch_all(&self.reader)
            .await
            .map_err(during("read requests"))?;
        rows.iter()
            .map(|row| checked(&self.authentic, row))
            .collect()
    }

    async fn erase_of(
        &self,
        name: &KeyspaceName,
        id: KeyspaceId,
    ) -> Result<Option<ErasureId>, StoreError> {
        let row = sqlx::query(select!(
            "WHERE kind = 2 AND keyspace_name = ? AND keyspace_id = ? ORDER BY number LIMIT 1"
        ))
        .bind(name.as_str().to_owned())
        .bind(id.as_bytes().to_vec())
        .fetch_optional(&self.reader)
        .await
        .map_err(during("find an erase"))?;
        let erase = row
            .as_ref()
            .map(|row| checked(&self.authentic, row))
            .transpose()?;
        Ok(erase.map(|accepted| accepted.erasure.id))
    }

    async fn open_erasures(
        &self,
        fulfilled: ErasureNumber,
    ) -> Result<Vec<AcceptedErasure>, StoreError> {
        let rows = sqlx::query(select!("WHERE number > ? ORDER BY number"))
            .bind(signed(fulfilled.number(), "request.number")?)
            .fetch_all(&self.reader)
            .await
            .map_err(during("read open requests"))?;
        rows.iter()
            .map(|row| checked(&self.authentic, row))
            .collect()
    }
}

fn checked(authentic: &Authenticity, row: &SqliteRow) -> Result<AcceptedErasure, StoreError> {
    authentic.check(&ERASURE, row)?;
    decode::erasure(row)
}

pub(crate) async fn accept(
    connection: &mut SqliteConnection,
    authentic: &Authenticity,
    erasures: &[Erasure],
) -> Result<ErasureNumber, StoreError> {
    let last: Option<i64> =
        sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'request'")
            .fetch_optional(&mut *connection)
            .await
            .map_err(during("number requests"))?;
    let first = last.unwrap_or(0) + 1;
    for rows in chunks(&ErasureColumns::numbered(first, erasures)?) {
        let head = concat!(
            "INSERT INTO request (number, accepted_at_ms, leases_end_at_ms, mac, ",
            erasure_columns!(),
            ")"
        );
        let mut query = insert(head, rows, |mut row, columns| {
            row.push_bind(columns.number);
            row.push_bind(columns.accepted_at);
            row.push_bind(columns.leases_end_at);
            row.push_bind(columns.mac(authentic));
            push_erasure(columns, &mut row);
        });
        let written = query.build().execute(&mut *connection);
        written.await.map_err(during("accept requests"))?;
    }
    Ok(ErasureNumber::new(first.cast_unsigned()))
}
