//! Buckets, and the expiries that they leave.

use async_trait::async_trait;
use lethe_core::deployment_key::Column;
use lethe_core::identity::HsmKeyId;
use lethe_core::ports::{BucketRow, BucketStore, ExpiryRow, StoreError};
use lethe_core::time::Expiry;
use lethe_store_sql::authentic::Authenticity;
use lethe_store_sql::decode;
use lethe_store_sql::encode::bucket_columns;
use lethe_store_sql::row::signed;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::authentic::BUCKET;
use crate::errors::during;
use crate::open::SqliteStore;
use crate::statements::execute;

#[async_trait]
impl BucketStore for SqliteStore {
    async fn buckets(&self) -> Result<Vec<BucketRow>, StoreError> {
        let statement =
            "SELECT expiry_s, hsm_key_id, iv, ciphertext, mac FROM bucket ORDER BY expiry_s";
        let bucket = |row: &SqliteRow| {
            self.authentic.check(&BUCKET, row)?;
            decode::bucket(row)
        };
        self.rows("read buckets", statement)
            .await?
            .iter()
            .map(bucket)
            .collect()
    }

    async fn create_buckets(&self, buckets: &[BucketRow]) -> Result<(), StoreError> {
        let mut write = self.write("create buckets").await?;
        let done = create_buckets(&mut write.inner, &self.authentic, buckets).await;
        write.finish(done).await
    }

    async fn replace_buckets(&self, buckets: &[(HsmKeyId, BucketRow)]) -> Result<(), StoreError> {
        let mut write = self.write("replace buckets").await?;
        let done = replace_buckets(&mut write.inner, &self.authentic, buckets).await;
        write.finish(done).await
    }

    async fn finish_bucket(&self, expired: &ExpiryRow) -> Result<(), StoreError> {
        let mut write = self.write("finish bucket").await?;
        let done = finish_bucket(&mut write.inner, expired).await;
        write.finish(done).await
    }

    async fn expiries(&self, after: Expiry, limit: u32) -> Result<Vec<ExpiryRow>, StoreError> {
        // All keys of one expiry are in one page, because the next page begins after an expiry.
        let rows = sqlx::query(
            "SELECT * FROM expiry WHERE expiry_s > ?1 AND expiry_s <= (SELECT max(expiry_s) FROM
                 (SELECT expiry_s FROM expiry WHERE expiry_s > ?1 ORDER BY expiry_s LIMIT ?2))
             ORDER BY expiry_s",
        )
        .bind(signed(after.as_seconds(), "expiry.expiry_s")?)
        .bind(limit)
        .fetch_all(&self.reader)
        .await
        .map_err(during("read expiries"))?;
        rows.iter().map(decode::expiry).collect()
    }
}

fn bucket_mac(authentic: &Authenticity, bucket: &BucketRow) -> Result<Option<Vec<u8>>, StoreError> {
    let expiry = signed(bucket.expiry.as_seconds(), "bucket.expiry_s")?;
    let [key, iv, ciphertext] = bucket_columns(bucket);
    let columns = [Column::Integer(expiry), key, iv, ciphertext];
    Ok(authentic.mac(&BUCKET, &columns).map(Vec::from))
}

async fn create_buckets(
    connection: &mut SqliteConnection,
    authentic: &Authenticity,
    buckets: &[BucketRow],
) -> Result<(), StoreError> {
    for bucket in buckets {
        let insert = sqlx::query(
            "INSERT INTO bucket (expiry_s, hsm_key_id, iv, ciphertext, mac) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(signed(bucket.expiry.as_seconds(), "bucket.expiry_s")?)
        .bind(bucket.key.as_bytes().to_vec())
        .bind(bucket.sealed.iv.to_vec())
        .bind(bucket.sealed.ciphertext.to_vec())
        .bind(bucket_mac(authentic, bucket)?);
        execute(connection, "create buckets", insert).await?;
    }
    Ok(())
}

async fn replace_buckets(
    connection: &mut SqliteConnection,
    authentic: &Authenticity,
    buckets: &[(HsmKeyId, BucketRow)],
) -> Result<(), StoreError> {
    for (before, bucket) in buckets {
        let update = sqlx::query(
            "UPDATE bucket SET hsm_key_id = ?, iv = ?, ciphertext = ?, mac = ?
             WHERE expiry_s = ? AND hsm_key_id = ?",
        )
        .bind(bucket.key.as_bytes().to_vec())
        .bind(bucket.sealed.iv.to_vec())
        .bind(bucket.sealed.ciphertext.to_vec())
        .bind(bucket_mac(authentic, bucket)?)
        .bind(signed(bucket.expiry.as_seconds(), "bucket.expiry_s")?)
        .bind(before.as_bytes().to_vec());
        if execute(connection, "replace buckets", update).await? != 1 {
            return Err(StoreError::Conflict("a bucket is not there with its key"));
        }
    }
    Ok(())
}

/// Deletes the row of a bucket and stores its signed expiry. A second call changes nothing.
async fn finish_bucket(
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
