//! Batches of erasures and their signatures.

use async_trait::async_trait;
use lethe_core::erasure::ErasureNumber;
use lethe_core::ports::{BatchRow, ReceiptStore, SignedDestruction, StoreError};
use lethe_core::time::Timestamp;
use lethe_store_sql::row::signed;
use lethe_store_sql::{decode, receipts};

use crate::batch;
use crate::open::PostgresStore;
use crate::statements::{Db, rows};

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
                Box::pin(async move {
                    receipts::sign_batch(&mut Db(connection), sequence, &destruction).await
                })
            })
            .await
    }

    async fn forget_receipts(&self, before: Timestamp) -> Result<bool, StoreError> {
        let before = signed(before.as_millis(), "batch.destroyed_at_ms")?;
        self.calls
            .write_within("forget receipts", batch::LIMIT, move |connection| {
                Box::pin(async move {
                    batch::allow_time(connection).await?;
                    receipts::forget(&mut Db(connection), before).await
                })
            })
            .await
    }
}
