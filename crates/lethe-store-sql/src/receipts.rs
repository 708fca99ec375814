//! Batches of erasures and their signatures.

use lethe_core::ports::{Fulfilled, SignedDestruction, StoreError};

use crate::encode;
use crate::row::{StoredRow, Value, signed};
use crate::statements::Connection;

/// The number of batches that one transaction deletes.
const MAX_DELETED: usize = 64;
/// It deletes as many expiries, and begins with no other batch after as many requests. One batch alone may have
/// more: deleting it takes less time than fulfilling it took.
const ENOUGH: u64 = 10_000;

/// # Errors
/// Those of the store; [`StoreError::Conflict`] when the batch does not begin after the one before.
pub async fn fulfil(
    db: &mut impl Connection,
    sequence: u64,
    fulfilled: &Fulfilled,
) -> Result<(), StoreError> {
    // Every erasure is in exactly one batch: a batch must begin after the one before.
    let insert = "INSERT INTO batch (sequence, first_request, last_request, replaced_root)
         SELECT $1, $2, $3, $4
         WHERE $2 = (SELECT coalesce(max(last_request), 0) + 1 FROM batch)";
    let binds = vec![
        signed(sequence, "batch.sequence")?.into(),
        signed(fulfilled.first.number(), "batch.first_request")?.into(),
        signed(fulfilled.last.number(), "batch.last_request")?.into(),
        fulfilled.replaced_root.as_bytes().into(),
    ];
    let otherwise = "the batch does not begin after the one before";
    db.execute_one("fulfil requests", insert, binds, otherwise)
        .await
}

/// # Errors
/// Those of the store; [`StoreError::Conflict`] when there is no such batch, or it has a signature.
pub async fn sign_batch(
    db: &mut impl Connection,
    sequence: u64,
    destruction: &SignedDestruction,
) -> Result<(), StoreError> {
    let update =
        "UPDATE batch SET destroyed_at_ms = $1, destroyed = $2, signing_key = $3, signature = $4
         WHERE sequence = $5 AND signature IS NULL";
    let destroyed_at = destruction.destroyed_at.as_millis();
    let binds = vec![
        signed(destroyed_at, "batch.destroyed_at_ms")?.into(),
        encode::destroyed(destruction).as_slice().into(),
        destruction.signing_key.as_bytes().into(),
        destruction.signature.as_slice().into(),
        signed(sequence, "batch.sequence")?.into(),
    ];
    let otherwise = "no such batch without signature";
    db.execute_one("sign a batch", update, binds, otherwise)
        .await
}

/// Forgets some of what was destroyed before a time; returns whether there may be more.
///
/// # Errors
/// Those of the store.
pub async fn forget(db: &mut impl Connection, before: i64) -> Result<bool, StoreError> {
    let expiries = "DELETE FROM expiry WHERE (expiry_s, hsm_key_id) IN
             (SELECT expiry_s, hsm_key_id FROM expiry WHERE destroyed_at_ms < $1 LIMIT $2)";
    let binds = vec![before.into(), ENOUGH.cast_signed().into()];
    let expiries = db.execute("forget expiries", expiries, binds).await?;
    let mut deleted = 0;
    for _ in 0..MAX_DELETED {
        match forget_batch(db, before).await? {
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
async fn forget_batch(db: &mut impl Connection, before: i64) -> Result<Option<u64>, StoreError> {
    let oldest = "SELECT sequence, first_request, last_request FROM batch
         WHERE sequence = (SELECT min(sequence) FROM batch) AND destroyed_at_ms < $1";
    let oldest = db.rows("forget receipts", oldest, vec![before.into()]);
    let Some(oldest) = oldest.await?.pop() else {
        return Ok(None);
    };
    let number = |column: &str| match oldest.value(column) {
        Some(Value::Integer(number)) => Ok(number),
        _ => Err(StoreError::Corrupt(format!("batch.{column}"))),
    };
    let (first, last) = (number("first_request")?, number("last_request")?);
    let requests = "DELETE FROM request WHERE number BETWEEN $1 AND $2";
    let binds = vec![first.into(), last.into()];
    let requests = db.execute("forget requests", requests, binds).await?;
    // The row of the last batch stays: it says which erasures are fulfilled.
    let batch =
        "DELETE FROM batch WHERE sequence = $1 AND sequence < (SELECT max(sequence) FROM batch)";
    let binds = vec![number("sequence")?.into()];
    let gone = db.execute("forget a batch", batch, binds).await?;
    Ok((gone > 0).then_some(requests))
}
