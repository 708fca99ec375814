//! Accepted erasures.

use async_trait::async_trait;
use lethe_core::deployment_key::Column;
use lethe_core::erasure::{AcceptedErasure, Erasure, ErasureKind, ErasureNumber, ShredLeaf};
use lethe_core::identity::KeyspaceId;
use lethe_core::keyspace::KeyspaceName;
use lethe_core::ports::{ErasureStore, StoreError};
use lethe_core::receipt::ErasureId;
use sqlx::query_builder::Separated;
use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, SqliteConnection};

use crate::authentic::{Authenticity, ERASURE};
use crate::chunks::{chunks, in_list, insert};
use crate::decode::{self, signed};
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

/// The columns of an erasure. In `waiting_request` the number is the column `place`.
pub(crate) struct Columns {
    pub(crate) number: i64,
    pub(crate) id: Vec<u8>,
    pub(crate) kind: i64,
    pub(crate) keyspace: Vec<u8>,
    pub(crate) accepted_at: i64,
    pub(crate) leases_end_at: i64,
    pub(crate) tag: Option<Vec<u8>>,
    pub(crate) commitment: Option<Vec<u8>>,
    pub(crate) leaves: Option<Vec<u8>>,
    pub(crate) name: Option<String>,
    pub(crate) version: Option<i64>,
}

impl Columns {
    pub(crate) fn new(number: i64, erasure: &Erasure) -> Result<Self, StoreError> {
        let none = Self {
            number,
            id: erasure.id.as_bytes().to_vec(),
            kind: 0,
            keyspace: erasure.keyspace.as_bytes().to_vec(),
            accepted_at: signed(erasure.accepted_at.as_millis(), "request.accepted_at_ms")?,
            leases_end_at: signed(
                erasure.leases_end_at.as_millis(),
                "request.leases_end_at_ms",
            )?,
            tag: None,
            commitment: None,
            leaves: None,
            name: None,
            version: None,
        };
        Ok(match &erasure.kind {
            ErasureKind::Shred {
                tag,
                commitment,
                leaves,
            } => Self {
                kind: 1,
                tag: Some(tag.as_bytes().to_vec()),
                commitment: Some(commitment.as_bytes().to_vec()),
                leaves: Some(leaves.iter().flat_map(leaf_bytes).collect()),
                ..none
            },
            ErasureKind::EraseKeyspace(name) => Self {
                kind: 2,
                name: Some(name.as_str().to_owned()),
                ..none
            },
            ErasureKind::DropVersion(version) => Self {
                kind: 3,
                version: Some(version.number().into()),
                ..none
            },
        })
    }
}

/// The columns of [`Columns::push_erasure`].
macro_rules! erasure_columns {
    () => {
        "id, kind, keyspace_id, tag, commitment, leaves, keyspace_name, version"
    };
}
pub(crate) use erasure_columns;

impl Columns {
    /// Binds the columns that both tables of erasures have, in the order of [`erasure_columns`].
    pub(crate) fn push_erasure(&self, row: &mut Separated<'_, Sqlite, &'static str>) {
        row.push_bind(self.id.clone());
        row.push_bind(self.kind);
        row.push_bind(self.keyspace.clone());
        row.push_bind(self.tag.clone());
        row.push_bind(self.commitment.clone());
        row.push_bind(self.leaves.clone());
        row.push_bind(self.name.clone());
        row.push_bind(self.version);
    }
}

fn leaf_bytes(leaf: &ShredLeaf) -> Vec<u8> {
    [
        leaf.version.number().to_be_bytes().as_slice(),
        &leaf.generation.number().to_be_bytes(),
        &leaf.address.bits().to_be_bytes(),
    ]
    .concat()
}

impl Columns {
    /// In the order of [`ERASURE`].
    fn mac(&self, authentic: &Authenticity) -> Option<Vec<u8>> {
        let mac = authentic.mac(
            &ERASURE,
            &[
                Column::Integer(self.number),
                Column::Blob(&self.id),
                Column::Integer(self.kind),
                Column::Blob(&self.keyspace),
                Column::Integer(self.accepted_at),
                Column::Integer(self.leases_end_at),
                Column::blob(self.tag.as_deref()),
                Column::blob(self.commitment.as_deref()),
                Column::blob(self.leaves.as_deref()),
                self.name.as_deref().map_or(Column::Null, Column::Text),
                self.version.map_or(Column::Null, Column::Integer),
            ],
        );
        mac.map(Vec::from)
    }
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
    let rows: Vec<Columns> = (first..)
        .zip(erasures)
        .map(|(number, erasure)| Columns::new(number, erasure))
        .collect::<Result<_, _>>()?;
    for rows in chunks(&rows) {
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
            columns.push_erasure(&mut row);
        });
        let written = query.build().execute(&mut *connection);
        written.await.map_err(during("accept requests"))?;
    }
    Ok(ErasureNumber::new(first.cast_unsigned()))
}
