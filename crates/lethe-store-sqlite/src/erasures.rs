//! Erasures, and the batches that have fulfilled them.

use lethe_core::deployment_key::Column;
use lethe_core::erasure::{AcceptedErasure, Erasure, ErasureKind, ErasureNumber, ShredLeaf};
use lethe_core::identity::KeyspaceId;
use lethe_core::keyspace::KeyspaceName;
use lethe_core::ports::{BatchRow, ExpiryRow, Fulfilled, SignedDestruction, StoreError};
use lethe_core::receipt::ErasureId;
use lethe_core::time::{Expiry, Timestamp};
use sqlx::query_builder::Separated;
use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, SqliteConnection, SqlitePool};

use crate::authentic::{Authenticity, ERASURE};
use crate::chunks::{chunks, in_list, insert};
use crate::decode::{self, signed};
use crate::errors::during;
use crate::statements::execute;

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
    /// In the order of [`REQUEST`].
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

pub(crate) async fn by_id(
    reader: &SqlitePool,
    authentic: &Authenticity,
    ids: &[ErasureId],
) -> Result<Vec<AcceptedErasure>, StoreError> {
    let mut found = Vec::new();
    let keys: Vec<Vec<u8>> = ids.iter().map(|id| id.as_bytes().to_vec()).collect();
    for keys in chunks(&keys) {
        let mut query = in_list(select!("WHERE id IN"), keys);
        let rows = query.build().fetch_all(reader).await;
        for row in rows.map_err(during("find requests"))? {
            found.push(checked(authentic, &row)?);
        }
    }
    Ok(found)
}

pub(crate) async fn range(
    reader: &SqlitePool,
    authentic: &Authenticity,
    first: ErasureNumber,
    last: ErasureNumber,
) -> Result<Vec<AcceptedErasure>, StoreError> {
    let rows = sqlx::query(select!("WHERE number BETWEEN ? AND ? ORDER BY number"))
        .bind(signed(first.number(), "request.number")?)
        .bind(signed(last.number(), "request.number")?)
        .fetch_all(reader)
        .await
        .map_err(during("read requests"))?;
    rows.iter().map(|row| checked(authentic, row)).collect()
}

pub(crate) async fn open(
    reader: &SqlitePool,
    authentic: &Authenticity,
    fulfilled: ErasureNumber,
) -> Result<Vec<AcceptedErasure>, StoreError> {
    let rows = sqlx::query(select!("WHERE number > ? ORDER BY number"))
        .bind(signed(fulfilled.number(), "request.number")?)
        .fetch_all(reader)
        .await
        .map_err(during("read open requests"))?;
    rows.iter().map(|row| checked(authentic, row)).collect()
}

pub(crate) async fn erase_of(
    reader: &SqlitePool,
    authentic: &Authenticity,
    name: &KeyspaceName,
    id: KeyspaceId,
) -> Result<Option<ErasureId>, StoreError> {
    let row = sqlx::query(select!(
        "WHERE kind = 2 AND keyspace_name = ? AND keyspace_id = ? ORDER BY number LIMIT 1"
    ))
    .bind(name.as_str().to_owned())
    .bind(id.as_bytes().to_vec())
    .fetch_optional(reader)
    .await
    .map_err(during("find an erase"))?;
    let erase = row
        .as_ref()
        .map(|row| checked(authentic, row))
        .transpose()?;
    Ok(erase.map(|accepted| accepted.erasure.id))
}

pub(crate) async fn fulfil(
    connection: &mut SqliteConnection,
    sequence: u64,
    fulfilled: &Fulfilled,
) -> Result<(), StoreError> {
    // Every erasure is in exactly one batch: a batch must begin after the one before.
    let insert = sqlx::query(
        "INSERT INTO batch (sequence, first_request, last_request, replaced_root)
         SELECT ?1, ?2, ?3, ?4
         WHERE ?2 = (SELECT coalesce(max(last_request), 0) + 1 FROM batch)",
    )
    .bind(signed(sequence, "batch.sequence")?)
    .bind(signed(fulfilled.first.number(), "batch.first_request")?)
    .bind(signed(fulfilled.last.number(), "batch.last_request")?)
    .bind(fulfilled.replaced_root.as_bytes().to_vec());
    match execute(connection, "fulfil requests", insert).await? {
        1 => Ok(()),
        _ => Err(StoreError::Conflict(
            "the batch does not begin after the one before",
        )),
    }
}

pub(crate) async fn fulfilled_up_to(reader: &SqlitePool) -> Result<ErasureNumber, StoreError> {
    let last: i64 = sqlx::query_scalar("SELECT coalesce(max(last_request), 0) FROM batch")
        .fetch_one(reader)
        .await
        .map_err(during("read the last batch"))?;
    Ok(ErasureNumber::new(last.cast_unsigned()))
}

pub(crate) async fn batch_of(
    reader: &SqlitePool,
    number: ErasureNumber,
) -> Result<Option<BatchRow>, StoreError> {
    let row = sqlx::query(
        "SELECT * FROM (SELECT * FROM batch WHERE last_request >= ?1 ORDER BY last_request LIMIT 1)
         WHERE first_request <= ?1",
    )
    .bind(signed(number.number(), "request.number")?)
    .fetch_optional(reader)
    .await
    .map_err(during("find a batch"))?;
    row.as_ref().map(decode::batch).transpose()
}

pub(crate) async fn unsigned_batches(reader: &SqlitePool) -> Result<Vec<BatchRow>, StoreError> {
    let rows = sqlx::query("SELECT * FROM batch WHERE signature IS NULL ORDER BY sequence")
        .fetch_all(reader)
        .await
        .map_err(during("read unsigned batches"))?;
    rows.iter().map(decode::batch).collect()
}

pub(crate) async fn sign_batch(
    connection: &mut SqliteConnection,
    sequence: u64,
    destruction: &SignedDestruction,
) -> Result<(), StoreError> {
    let update = sqlx::query(
        "UPDATE batch SET destroyed_at_ms = ?, destroyed = ?, signing_key = ?, signature = ?
         WHERE sequence = ? AND signature IS NULL",
    )
    .bind(signed(
        destruction.destroyed_at.as_millis(),
        "batch.destroyed_at_ms",
    )?)
    .bind(
        destruction
            .destroyed
            .iter()
            .flat_map(|id| *id.as_bytes())
            .collect::<Vec<u8>>(),
    )
    .bind(destruction.signing_key.as_bytes().to_vec())
    .bind(destruction.signature.to_vec())
    .bind(signed(sequence, "batch.sequence")?);
    match execute(connection, "sign a batch", update).await? {
        1 => Ok(()),
        _ => Err(StoreError::Conflict("no such batch without signature")),
    }
}

/// The number of batches that one transaction deletes.
const MAX_DELETED: usize = 64;

pub(crate) async fn forget(
    connection: &mut SqliteConnection,
    before: Timestamp,
) -> Result<bool, StoreError> {
    let before = signed(before.as_millis(), "batch.destroyed_at_ms")?;
    let expiries = sqlx::query("DELETE FROM expiry WHERE destroyed_at_ms < ?").bind(before);
    execute(connection, "forget expiries", expiries).await?;
    for _ in 0..MAX_DELETED {
        if !forget_batch(connection, before).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Deletes the oldest batch whole, because a receipt needs all erasures of its batch.
async fn forget_batch(connection: &mut SqliteConnection, before: i64) -> Result<bool, StoreError> {
    let oldest: Option<(i64, i64, i64)> = sqlx::query_as(
        "SELECT sequence, first_request, last_request FROM batch
         WHERE sequence = (SELECT min(sequence) FROM batch) AND destroyed_at_ms < ?",
    )
    .bind(before)
    .fetch_optional(&mut *connection)
    .await
    .map_err(during("forget receipts"))?;
    let Some((sequence, first, last)) = oldest else {
        return Ok(false);
    };
    let erasures = sqlx::query("DELETE FROM request WHERE number BETWEEN ? AND ?")
        .bind(first)
        .bind(last);
    execute(connection, "forget requests", erasures).await?;
    // The row of the last batch stays: it says which erasures are fulfilled.
    let batch = sqlx::query(
        "DELETE FROM batch WHERE sequence = ? AND sequence < (SELECT max(sequence) FROM batch)",
    )
    .bind(sequence);
    Ok(execute(connection, "forget a batch", batch).await? > 0)
}

/// Deletes the row of a bucket and stores its signed expiry. A second call changes nothing.
pub(crate) async fn finish_bucket(
    connection: &mut SqliteConnection,
    expired: &ExpiryRow,
) -> Result<(), StoreError> {
    let expiry = signed(expired.expiry.as_seconds(), "expiry.expiry_s")?;
    let destruction = &expired.signed;
    for key in &destruction.destroyed {
        let delete = sqlx::query("DELETE FROM bucket WHERE expiry_s = ? AND hsm_key_id = ?")
            .bind(expiry)
            .bind(key.as_bytes().to_vec());
        execute(connection, "delete bucket", delete).await?;
        let insert = sqlx::query(
            "INSERT OR IGNORE INTO expiry
                 (expiry_s, hsm_key_id, destroyed_at_ms, signing_key, signature)
             VALUES (?, ?, ?, ?, ?)",
        )
        .bind(expiry)
        .bind(key.as_bytes().to_vec())
        .bind(signed(
            destruction.destroyed_at.as_millis(),
            "expiry.destroyed_at_ms",
        )?)
        .bind(destruction.signing_key.as_bytes().to_vec())
        .bind(destruction.signature.to_vec());
        execute(connection, "keep an expiry", insert).await?;
    }
    Ok(())
}

pub(crate) async fn expiries(
    reader: &SqlitePool,
    after: Expiry,
    limit: u32,
) -> Result<Vec<ExpiryRow>, StoreError> {
    // All keys of one expiry are in one page, because the next page begins after an expiry.
    let rows = sqlx::query(
        "SELECT * FROM expiry WHERE expiry_s > ?1 AND expiry_s <= (SELECT max(expiry_s) FROM
             (SELECT expiry_s FROM expiry WHERE expiry_s > ?1 ORDER BY expiry_s LIMIT ?2))
         ORDER BY expiry_s",
    )
    .bind(signed(after.as_seconds(), "expiry.expiry_s")?)
    .bind(limit)
    .fetch_all(reader)
    .await
    .map_err(during("read expiries"))?;
    rows.iter().map(decode::expiry).collect()
}
