//! The statements of one batch: the meta row, then what changed beside it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lethe_core::erasure::ErasureNumber;
use lethe_core::ports::{BatchCommit, BatchStore, MetaRow, StoreError};
use lethe_store_sql::authentic::{Authenticity, seal_all};
use lethe_store_sql::row::signed;
use lethe_store_sql::{clock, decode, keyspaces, receipts};
use sqlx::{Executor, PgConnection};

use crate::authentic::ALL;
use crate::errors::during;
use crate::open::PostgresStore;
use crate::statements::{Db, execute, rows};
use crate::{approvals, trees};

/// A batch writes up to some thousands of pages.
const BATCH_LIMIT: &str = "SET LOCAL statement_timeout = '60s'";
pub(crate) const LIMIT: Duration = Duration::from_secs(180);

#[async_trait]
impl BatchStore for PostgresStore {
    async fn meta(&self) -> Result<Option<MetaRow>, StoreError> {
        let name = "read meta";
        let rows = self.calls.read(name, move |connection| {
            Box::pin(rows(
                connection,
                name,
                sqlx::query(
                    "SELECT m.sequence, m.epoch, s.root_id, s.iv, s.ciphertext, m.directory
                     FROM meta m JOIN meta_share s ON s.device = 0",
                ),
            ))
        });
        rows.await?.first().map(decode::meta).transpose()
    }

    async fn commit_batch(&self, batch: &BatchCommit) -> Result<(), StoreError> {
        let (authentic, batch) = (Arc::clone(&self.authentic), batch.clone());
        let begins = batch.begins.clone();
        self.calls
            .write_within("commit batch", LIMIT, move |connection| {
                Box::pin(commit_batch(connection, authentic, batch))
            })
            .await?;
        if let Some(key) = begins {
            self.authentic.begin(key);
        }
        Ok(())
    }

    async fn fulfilled_up_to(&self) -> Result<ErasureNumber, StoreError> {
        let last: i64 = self
            .calls
            .read("read the last batch", |connection| {
                Box::pin(async move {
                    sqlx::query_scalar("SELECT coalesce(max(last_request), 0) FROM batch")
                        .fetch_one(connection)
                        .await
                        .map_err(during("read the last batch"))
                })
            })
            .await?;
        Ok(ErasureNumber::new(last.cast_unsigned()))
    }
}

/// For a transaction of many rows, within [`LIMIT`].
pub(crate) async fn allow_time(connection: &mut PgConnection) -> Result<(), StoreError> {
    let set = connection.execute(BATCH_LIMIT).await;
    set.map(drop).map_err(during("allow time"))
}

async fn commit_batch(
    connection: &mut PgConnection,
    authentic: Arc<Authenticity>,
    batch: BatchCommit,
) -> Result<(), StoreError> {
    allow_time(connection).await?;
    if let Some(given) = &batch.approved
        && !approvals::set_approved(connection, given).await?
    {
        return Err(StoreError::NotWaiting);
    }
    replace_meta(connection, &batch.meta).await?;
    clock::raise(&mut Db(connection), &authentic, &batch.mark).await?;
    for change in &batch.trees {
        trees::change(connection, change).await?;
    }
    if let Some(fulfilled) = &batch.fulfilled {
        receipts::fulfil(&mut Db(connection), batch.meta.sequence, fulfilled).await?;
    }
    for change in &batch.keyspaces {
        keyspaces::apply(&mut Db(connection), change).await?;
    }
    match &batch.begins {
        Some(key) => seal_all(&mut Db(connection), key, &ALL).await,
        None => Ok(()),
    }
}

/// The first batch inserts the row; every other finds the row of the sequence before, or none.
async fn replace_meta(connection: &mut PgConnection, meta: &MetaRow) -> Result<(), StoreError> {
    let sequence = signed(meta.sequence, "meta.sequence")?;
    let statement = if sequence == 1 {
        "INSERT INTO meta (sequence, epoch, directory, row_id) VALUES ($1, $2, $3, 1)
         ON CONFLICT (row_id) DO NOTHING"
    } else {
        "UPDATE meta SET sequence = $1, epoch = $2, directory = $3 WHERE sequence = $1 - 1"
    };
    let replace = sqlx::query(statement)
        .bind(sequence)
        .bind(signed(meta.epoch, "meta.epoch")?)
        .bind(meta.directory.as_slice());
    if execute(connection, "replace meta", replace).await? != 1 {
        return Err(StoreError::Conflict("the meta row is of another sequence"));
    }
    let share = sqlx::query(
        "INSERT INTO meta_share (device, root_id, iv, ciphertext) VALUES (0, $1, $2, $3)
         ON CONFLICT (device) DO UPDATE SET
             root_id = excluded.root_id, iv = excluded.iv, ciphertext = excluded.ciphertext",
    )
    .bind(meta.share.root.as_bytes().as_slice())
    .bind(meta.share.sealed.iv.as_slice())
    .bind(meta.share.sealed.ciphertext.as_slice());
    execute(connection, "replace meta", share).await.map(drop)
}
