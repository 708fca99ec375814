//! Batches of erasures and their signatures.

use async_trait::async_trait;
use lethe_core::erasure::ErasureNumber;
use lethe_core::ports::{BatchRow, Fulfilled, ReceiptStore, SignedDestruction, StoreError};
use lethe_core::time::Timestamp;
use lethe_store_sql::row::signed;
use lethe_store_sql::{decode, encode};
use sqlx::PgConnection;

use crate::batch;
use crate::errors::during;
use crate::open::PostgresStore;
use crate::statements::{execute, rows};

/// The number of batches that one transaction deletes.
const MAX_DELETED: usize = 64;
/// It deletes as many expiries, and begins with no other batch after as many requests. One batch alone may have
/// more: deleting it takes less time than fulfilling it took.
const ENOUGH: u64 = 10_000;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT sequence, first_request, last_request, replaced_root, destroyed_at_ms, destroyed,
                    signing_key, signature FROM batch ",
            $rest
        )
    };
}

#[async_trait]
impl ReceiptStore for PostgresStore {
    async fn batch_of(&self, number: ErasureNumber) -> Result<Option<BatchRow>, StoreError> {
        let name = "find a batch";
        let wanted = signed(number.number(), "request.number")?;
        let rows = self.calls.read(name, move |connection| {
            let query = sqlx::query(select!(
                "WHERE last_request >= $1 ORDER BY last_request LIMIT 1"
            ));
            Box::pin(rows(connection, name, query.bind(wanted)))
        });
        let batch = rows.await?.first().map(decode::batch).transpose()?;
        Ok(batch.filter(|batch| batch.fulfilled.first <= number))
    }

    async fn unsigned_batches(&self) -> Result<Vec<BatchRow>, StoreError> {
        let name = "read unsigned batches";
        let rows = self.calls.read(name, move |connection| {
            let query = sqlx::query(select!("WHERE signature IS NULL ORDER BY sequence"));
            Box::pin(rows(connection, name, query))
        });
        rows.await?.iter().map(decode::batch).collect()
    }

    async fn sign_batch(
        &self,
        sequence: u64,
        signed: &SignedDestruction,
    ) -> Result<(), StoreError> {
        let destruction = signed.clone();
        self.calls
            .write("sign a batch", move |connection| {
                Box::pin(sign_batch(connection, sequence, destruction))
            })
            .await
    }

    async fn forget_receipts(&self, before: Timestamp) -> Result<bool, StoreError> {
        let before = signed(before.as_millis(), "batch.destroyed_at_ms")?;
        self.calls
            .write_within("forget receipts", batch::LIMIT, move |connection| {
                Box::pin(forget(connection, before))
            })
            .await
    }
}

pub(crate) async fn fulfil(
    connection: &mut PgConnection,
    sequence: u64,
    fulfilled: &Fulfilled,
) -> Result<(), StoreError> {
    // Every erasure is in exactly one batch: a batch must begin after the one before.
    let insert = sqlx::query(
        "INSERT INTO batch (sequence, first_request, last_request, replaced_root)
         SELECT $1, $2, $3, $4
         WHERE $2 = (SELECT coalesce(max(last_request), 0) + 1 FROM batch)",
    )
    .bind(signed(sequence, "batch.sequence")?)
    .bind(signed(fulfilled.first.number(), "batch.first_request")?)
    .bind(signed(fulfilled.last.number(), "batch.last_request")?)
    .bind(fulfilled.replaced_root.as_bytes().as_slice());
    match execute(connection, "fulfil requests", insert).await? {
        1 => Ok(()),
        _ => Err(StoreError::Conflict(
            "the batch does not begin after the one before",
        )),
    }
}

async fn sign_batch(
    connection: &mut PgConnection,
    sequence: u64,
    destruction: SignedDestruction,
) -> Result<(), StoreError> {
    let update = sqlx::query(
        "UPDATE batch SET destroyed_at_ms = $1, destroyed = $2, signing_key = $3, signature = $4
         WHERE sequence = $5 AND signature IS NULL",
    )
    .bind(signed(
        destruction.destroyed_at.as_millis(),
        "batch.destroyed_at_ms",
    )?)
    .bind(encode::destroyed(&destruction))
    .bind(destruction.signing_key.as_bytes().as_slice())
    .bind(destruction.signature.as_slice())
    .bind(signed(sequence, "batch.sequence")?);
    match execute(connection, "sign a batch", update).await? {
        1 => Ok(()),
        _ => Err(StoreError::Conflict("no such batch without signature")),
    }
}

async fn forget(connection: &mut PgConnection, before: i64) -> Result<bool, StoreError> {
    batch::allow_time(connection).await?;
    let expiries = sqlx::query(
        "DELETE FROM expiry WHERE ctid = ANY(ARRAY
             (SELECT ctid FROM expiry WHERE destroyed_at_ms < $1 LIMIT $2))",
    );
    let expiries = expiries.bind(before).bind(ENOUGH.cast_signed());
    let expiries = execute(connection, "forget expiries", expiries).await?;
    let mut deleted = 0;
    for _ in 0..MAX_DELETED {
        match forget_batch(connection, before).await? {
            None => return Ok(expiries == ENOUGH),
            Some(requests) => deleted += requests,
        }
        if deleted >= ENOUGH {
            break;
        }
    }
    Ok(true)
}

/// Deletes the oldest batch whole, because a receipt needs all erasures of its batch, and says how many they were;
/// none when no batch was deleted.
async fn forget_batch(
    connection: &mut PgConnection,
    before: i64,
) -> Result<Option<u64>, StoreError> {
    let oldest: Option<(i64, i64, i64)> = sqlx::query_as(
        "SELECT sequence, first_request, last_request FROM batch
         WHERE sequence = (SELECT min(sequence) FROM batch) AND destroyed_at_ms < $1",
    )
    .bind(before)
    .fetch_optional(&mut *connection)
    .await
    .map_err(during("forget receipts"))?;
    let Some((sequence, first, last)) = oldest else {
        return Ok(None);
    };
    let requests = sqlx::query("DELETE FROM request WHERE number BETWEEN $1 AND $2");
    let requests = requests.bind(first).bind(last);
    let requests = execute(connection, "forget requests", requests).await?;
    // The row of the last batch stays: it says which erasures are fulfilled.
    let delete = sqlx::query(
        "DELETE FROM batch WHERE sequence = $1 AND sequence < (SELECT max(sequence) FROM batch)",
    );
    let gone = execute(connection, "forget a batch", delete.bind(sequence)).await?;
    Ok((gone > 0).then_some(requests))
}
