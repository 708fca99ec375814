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
use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use crate::authentic::BUCKET_SHARE;
use crate::open::PostgresStore;
use crate::statements::{column, execute, rows};

/// The only HSM that keeps keys of buckets.
const DEVICE: i64 = 0;

#[async_trait]
impl BucketStore for PostgresStore {
    async fn buckets(&self) -> Result<Vec<BucketRow>, StoreError> {
        let name = "read buckets";
        let rows = self.calls.read(name, move |connection| {
            Box::pin(rows(
                connection,
                name,
                sqlx::query(
                    "SELECT expiry_s, device, hsm_key_id, iv, ciphertext, mac FROM bucket_share
                     ORDER BY expiry_s",
                ),
            ))
        });
        let bucket = |row: &PgRow| {
            self.authentic.check(&BUCKET_SHARE, row)?;
            decode::bucket(row)
        };
        rows.await?.iter().map(bucket).collect()
    }

    async fn create_buckets(&self, buckets: &[BucketRow]) -> Result<(), StoreError> {
        let shares = shares(&self.authentic, buckets)?;
        self.calls
            .write("create buckets", move |connection| {
                Box::pin(create_buckets(connection, shares))
            })
            .await
    }

    async fn replace_buckets(&self, buckets: &[(HsmKeyId, BucketRow)]) -> Result<(), StoreError> {
        let before = column(buckets, |(before, _)| before.as_bytes().to_vec());
        let after = column(buckets, |(_, after)| after.clone());
        let shares = shares(&self.authentic, &after)?;
        self.calls
            .write("replace buckets", move |connection| {
                Box::pin(replace_buckets(connection, before, shares))
            })
            .await
    }

    async fn finish_bucket(&self, expired: &ExpiryRow) -> Result<(), StoreError> {
        let expired = expired.clone();
        self.calls
            .write("finish bucket", move |connection| {
                Box::pin(finish_bucket(connection, expired))
            })
            .await
    }

    async fn expiries(&self, after: Expiry, limit: u32) -> Result<Vec<ExpiryRow>, StoreError> {
        let name = "read expiries";
        let after = signed(after.as_seconds(), "expiry.expiry_s")?;
        // All keys of one expiry are in one page, because the next page begins after an expiry.
        let rows = self.calls.read(name, move |connection| {
            let query = sqlx::query(
                "SELECT expiry_s, hsm_key_id, destroyed_at_ms, signing_key, signature FROM expiry
                 WHERE expiry_s > $1 AND expiry_s <= (SELECT max(expiry_s) FROM
                     (SELECT expiry_s FROM expiry WHERE expiry_s > $1 ORDER BY expiry_s LIMIT $2) page)
                 ORDER BY expiry_s",
            );
            let query = query.bind(after).bind(i64::from(limit));
            Box::pin(rows(connection, name, query))
        });
        rows.await?.iter().map(decode::expiry).collect()
    }
}

/// One row of `bucket_share`.
struct Share {
    expiry: i64,
    bucket: BucketRow,
    mac: Option<Vec<u8>>,
}

fn shares(authentic: &Authenticity, buckets: &[BucketRow]) -> Result<Vec<Share>, StoreError> {
    let share = |bucket: &BucketRow| {
        let expiry = signed(bucket.expiry.as_seconds(), "bucket_share.expiry_s")?;
        let [key, iv, ciphertext] = bucket_columns(bucket);
        let columns = [
            Column::Integer(expiry),
            Column::Integer(DEVICE),
            key,
            iv,
            ciphertext,
        ];
        Ok(Share {
            expiry,
            mac: authentic.mac(&BUCKET_SHARE, &columns).map(Vec::from),
            bucket: bucket.clone(),
        })
    };
    buckets.iter().map(share).collect()
}

async fn create_buckets(
    connection: &mut PgConnection,
    shares: Vec<Share>,
) -> Result<(), StoreError> {
    let insert = sqlx::query(
        "INSERT INTO bucket_share (expiry_s, device, hsm_key_id, iv, ciphertext, mac)
         SELECT expiry_s, 0, hsm_key_id, iv, ciphertext, mac
         FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[])
              AS new (expiry_s, hsm_key_id, iv, ciphertext, mac)",
    )
    .bind(column(&shares, |it| it.expiry))
    .bind(column(&shares, |it| it.bucket.key.as_bytes().to_vec()))
    .bind(column(&shares, |it| it.bucket.sealed.iv.to_vec()))
    .bind(column(&shares, |it| it.bucket.sealed.ciphertext.to_vec()))
    .bind(column(&shares, |it| it.mac.clone()));
    execute(connection, "create buckets", insert)
        .await
        .map(drop)
}

async fn replace_buckets(
    connection: &mut PgConnection,
    before: Vec<Vec<u8>>,
    shares: Vec<Share>,
) -> Result<(), StoreError> {
    let update = sqlx::query(
        "UPDATE bucket_share b
         SET hsm_key_id = new.hsm_key_id, iv = new.iv, ciphertext = new.ciphertext, mac = new.mac
         FROM unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[])
              AS new (before, expiry_s, hsm_key_id, iv, ciphertext, mac)
         WHERE b.expiry_s = new.expiry_s AND b.device = 0 AND b.hsm_key_id = new.before",
    )
    .bind(before)
    .bind(column(&shares, |it| it.expiry))
    .bind(column(&shares, |it| it.bucket.key.as_bytes().to_vec()))
    .bind(column(&shares, |it| it.bucket.sealed.iv.to_vec()))
    .bind(column(&shares, |it| it.bucket.sealed.ciphertext.to_vec()))
    .bind(column(&shares, |it| it.mac.clone()));
    if execute(connection, "replace buckets", update).await? == shares.len() as u64 {
        Ok(())
    } else {
        Err(StoreError::Conflict("a bucket is not there with its key"))
    }
}

/// Deletes the row of a bucket and stores its signed expiry. A second call changes nothing.
async fn finish_bucket(
    connection: &mut PgConnection,
    expired: ExpiryRow,
) -> Result<(), StoreError> {
    let expiry = signed(expired.expiry.as_seconds(), "expiry.expiry_s")?;
    let destruction = &expired.signed;
    let keys = column(&destruction.destroyed, |key| key.as_bytes().to_vec());
    let delete = sqlx::query(
        "DELETE FROM bucket_share WHERE expiry_s = $1 AND device = 0 AND hsm_key_id = ANY($2)",
    );
    let delete = delete.bind(expiry).bind(keys.clone());
    execute(connection, "delete bucket", delete).await?;
    let insert = sqlx::query(
        "INSERT INTO expiry (expiry_s, hsm_key_id, destroyed_at_ms, signing_key, signature)
         SELECT $1, key, $3, $4, $5 FROM unnest($2::bytea[]) AS destroyed (key)
         ON CONFLICT DO NOTHING",
    )
    .bind(expiry)
    .bind(keys)
    .bind(signed(
        destruction.destroyed_at.as_millis(),
        "expiry.destroyed_at_ms",
    )?)
    .bind(destruction.signing_key.as_bytes().as_slice())
    .bind(destruction.signature.as_slice());
    execute(connection, "keep an expiry", insert)
        .await
        .map(drop)
}
