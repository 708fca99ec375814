//! Messages go in together: what arrives while one transaction reaches the disk shares the next.

use std::collections::BTreeSet;

use sqlx::{SqliteConnection, SqlitePool};
use tokio::sync::{mpsc, oneshot};

use super::{Store, StoreError};
use crate::message::{NewMessage, Position};

/// Messages in one transaction at most, and those that may wait.
const BATCH: usize = 512;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// It is on the disk.
    At(Position),
    /// The room has a message of this id already.
    Duplicate,
}

pub(super) struct Insert {
    message: NewMessage,
    done: oneshot::Sender<Inserted>,
}

impl Store {
    /// Stores a message; returns once it is on the disk.
    ///
    /// # Errors
    /// [`StoreError::NotStored`].
    pub async fn insert(&self, message: NewMessage) -> Result<Inserted, StoreError> {
        let (done, answer) = oneshot::channel();
        let insert = Insert { message, done };
        self.inserts
            .send(insert)
            .await
            .map_err(|_| StoreError::NotStored)?;
        answer.await.map_err(|_| StoreError::NotStored)
    }
}

/// Ends when the last store is dropped and all that waits is written.
pub(super) fn start(pool: SqlitePool) -> mpsc::Sender<Insert> {
    let (sender, mut receiver) = mpsc::channel(BATCH);
    tokio::spawn(async move {
        let mut batch = Vec::with_capacity(BATCH);
        while receiver.recv_many(&mut batch, BATCH).await > 0 {
            match write(&pool, &batch).await {
                Ok(results) => batch.drain(..).zip(results).for_each(|(insert, result)| {
                    // Nobody waits any more: the message is stored all the same.
                    let _ = insert.done.send(result);
                }),
                Err(error) => {
                    tracing::error!(%error, messages = batch.len(), "messages were not stored");
                    batch.clear(); // drops the senders: the callers get an error
                }
            }
        }
    });
    sender
}

async fn write(pool: &SqlitePool, batch: &[Insert]) -> Result<Vec<Inserted>, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let written = transaction(&mut connection, batch).await;
    if written.is_err() {
        // Closing rolls back for certain, whatever state SQLite left the transaction in.
        connection.close_on_drop();
    }
    written
}

async fn transaction(
    connection: &mut SqliteConnection,
    batch: &[Insert],
) -> Result<Vec<Inserted>, sqlx::Error> {
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut *connection)
        .await?;
    let keys: BTreeSet<_> = batch
        .iter()
        .map(|insert| insert.message.envelope.wrapped_key.as_str())
        .collect();
    for key in keys {
        sqlx::query("INSERT INTO wrapped_key (wrapped_key) VALUES (?) ON CONFLICT DO NOTHING")
            .bind(key)
            .execute(&mut *connection)
            .await?;
    }
    let mut results = Vec::with_capacity(batch.len());
    for insert in batch {
        results.push(insert_message(connection, &insert.message).await?);
    }
    sqlx::query("COMMIT").execute(connection).await?;
    Ok(results)
}

async fn insert_message(
    connection: &mut SqliteConnection,
    message: &NewMessage,
) -> Result<Inserted, sqlx::Error> {
    let position: Option<i64> = sqlx::query_scalar(
        "INSERT INTO message (room, id, sent_at, wrapped_key, envelope)
         VALUES (?, ?, ?, (SELECT id FROM wrapped_key WHERE wrapped_key = ?), ?)
         ON CONFLICT (room, id) DO NOTHING RETURNING position",
    )
    .bind(message.room.as_str())
    .bind(message.id.as_str())
    .bind(message.sent_at.as_millisecond())
    .bind(message.envelope.wrapped_key.as_str())
    .bind(message.envelope.bytes.as_slice())
    .fetch_optional(connection)
    .await?;
    Ok(position.map_or(Inserted::Duplicate, |at| Inserted::At(Position(at))))
}
