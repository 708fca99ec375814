//! The statements of one batch: the meta row, then what changed beside it.

use async_trait::async_trait;
use lethe_core::erasure::ErasureNumber;
use lethe_core::ports::{BatchCommit, BatchStore, MetaRow, StoreError};
use lethe_store_sql::authentic::{Authenticity, seal_all};
use lethe_store_sql::row::signed;
use lethe_store_sql::{clock, decode, keyspaces, receipts};
use sqlx::SqliteConnection;

use crate::authentic::ALL;
use crate::errors::during;
use crate::open::SqliteStore;
use crate::statements::{Db, execute};
use crate::{approvals, trees};

#[async_trait]
impl BatchStore for SqliteStore {
    async fn meta(&self) -> Result<Option<MetaRow>, StoreError> {
        let statement = "SELECT sequence, epoch, root_id, iv, ciphertext, directory FROM meta";
        let rows = self.rows("read meta", statement).await?;
        rows.first().map(decode::meta).transpose()
    }

    async fn commit_batch(&self, batch: &BatchCommit) -> Result<(), StoreError> {
        let mut write = self.write("commit batch").await?;
        let done = commit_batch(&mut write.inner, &self.authentic, batch).await;
        let done = write.finish(done).await;
        if let (Ok(()), Some(key)) = (&done, &batch.begins) {
            self.authentic.begin(key.clone());
        }
        self.checkpoints.written(batch);
        done
    }

    async fn fulfilled_up_to(&self) -> Result<ErasureNumber, StoreError> {
        let last: i64 = sqlx::query_scalar("SELECT coalesce(max(last_request), 0) FROM batch")
            .fetch_one(&self.reader)
            .await
            .map_err(during("read the last batch"))?;
        Ok(ErasureNumber::new(last.cast_unsigned()))
    }
}

async fn commit_batch(
    connection: &mut SqliteConnection,
    authentic: &Authenticity,
    batch: &BatchCommit,
) -> Result<(), StoreError> {
    if let Some(given) = &batch.approved
        && !approvals::set_approved(connection, given).await?
    {
        return Err(StoreError::NotWaiting);
    }
    replace_meta(connection, &batch.meta).await?;
    clock::raise(&mut Db(connection), authentic, &batch.mark).await?;
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
async fn replace_meta(connection: &mut SqliteConnection, meta: &MetaRow) -> Result<(), StoreError> {
    let sequence = signed(meta.sequence, "meta.sequence")?;
    let statement = if sequence == 1 {
        "INSERT INTO meta (epoch, root_id, iv, ciphertext, directory, sequence, row_id)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, 1 WHERE NOT EXISTS (SELECT 1 FROM meta)"
    } else {
        "UPDATE meta SET epoch = ?1, root_id = ?2, iv = ?3, ciphertext = ?4, directory = ?5,
                sequence = ?6 WHERE sequence = ?6 - 1"
    };
    let replace = sqlx::query(statement)
        .bind(signed(meta.epoch, "meta.epoch")?)
        .bind(meta.share.root.as_bytes().to_vec())
        .bind(meta.share.sealed.iv.to_vec())
        .bind(meta.share.sealed.ciphertext.to_vec())
        .bind(meta.directory.clone())
        .bind(sequence);
    match execute(connection, "replace meta", replace).await? {
        1 => Ok(()),
        _ => Err(StoreError::Conflict("the meta row is of another sequence")),
    }
}
