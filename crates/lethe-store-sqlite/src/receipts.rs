//! Batches of erasures and their signatures.

use async_trait::async_trait;
use lethe_core::erasure::ErasureNumber;
use lethe_core::ports::{BatchRow, ReceiptStore, SignedDestruction, StoreError};
use lethe_core::time::Timestamp;
use lethe_store_sql::row::signed;
use lethe_store_sql::{decode, receipts};

use crate::errors::during;
use crate::open::SqliteStore;
use crate::statements::Db;

#[async_trait]
impl ReceiptStore for SqliteStore {
    async fn batch_of(&self, number: ErasureNumber) -> Result<Option<BatchRow>, StoreError> {
        let row = sqlx::query(
            "SELECT * FROM (SELECT * FROM batch WHERE last_request >= ?1 ORDER BY last_request LIMIT 1)
             WHERE first_request <= ?1",
        )
        .bind(signed(number.number(), "request.number")?)
        .fetch_optional(&self.reader)
        .await
        .map_err(during("find a batch"))?;
        row.as_ref().map(decode::batch).transpose()
    }

    async fn unsigned_batches(&self) -> Result<Vec<BatchRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM batch WHERE signature IS NULL ORDER BY sequence")
            .fetch_all(&self.reader)
            .await
            .map_err(during("read unsigned batches"))?;
        rows.iter().map(decode::batch).collect()
    }

    async fn sign_batch(
        &self,
        sequence: u64,
        signed: &SignedDestruction,
    ) -> Result<(), StoreError> {
        let mut write = self.write("sign a batch").await?;
        let done = receipts::sign_batch(&mut Db(&mut write.inner), sequence, signed).await;
        write.finish(done).await
    }

    async fn forget_receipts(&self, before: Timestamp) -> Result<bool, StoreError> {
        let before = signed(before.as_millis(), "batch.destroyed_at_ms")?;
        let mut write = self.write("forget receipts").await?;
        let done = receipts::forget(&mut Db(&mut write.inner), before).await;
        write.finish(done).await
    }
}
