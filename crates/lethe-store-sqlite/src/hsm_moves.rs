//! The statements of a move to another HSM.

use lethe_core::identity::HsmKeyId;
use lethe_core::ports::{BucketRow, SigningPurpose, StoreError};
use lethe_core::succession::PublishedKey;
use sqlx::SqliteConnection;

use crate::authentic::{Authenticity, HSM_MOVE, SIGNING_KEY};
use crate::decode::signed;
use crate::statements::{bucket_mac, execute};

pub(crate) const SIGNING_KEYS: &str =
    "SELECT number, id, purpose, public_key, predecessor, endorsement, mac FROM signing_key
     ORDER BY number";

pub(crate) async fn replace_buckets(
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

pub(crate) async fn begin(
    connection: &mut SqliteConnection,
    authentic: &Authenticity,
    keys: &[PublishedKey],
) -> Result<(), StoreError> {
    authentic
        .check_where(connection, &SIGNING_KEY, "true")
        .await?;
    let insert = sqlx::query("INSERT INTO hsm_move (row_id) VALUES (1) ON CONFLICT DO NOTHING");
    if execute(connection, "begin HSM move", insert).await? != 1 {
        return Err(StoreError::Conflict("a move to another HSM is under way"));
    }
    for PublishedKey { key, succession } in keys {
        let purpose = match key.purpose {
            SigningPurpose::Receipt => 1,
            SigningPurpose::Checkpoint => 2,
        };
        let before = succession.map(|it| it.predecessor.as_bytes().to_vec());
        let insert = sqlx::query(
            "INSERT INTO signing_key (id, purpose, public_key, predecessor, endorsement)
             VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
        )
        .bind(key.id.as_bytes().to_vec())
        .bind(purpose)
        .bind(key.public_key.to_vec())
        .bind(before)
        .bind(succession.map(|it| it.endorsement.to_vec()));
        execute(connection, "begin HSM move", insert).await?;
    }
    // Those that were there were checked; the others are new.
    authentic
        .seal_where(connection, &SIGNING_KEY, "true")
        .await?;
    authentic.seal_where(connection, &HSM_MOVE, "true").await
}

pub(crate) async fn emptied(
    connection: &mut SqliteConnection,
    authentic: &Authenticity,
) -> Result<(), StoreError> {
    authentic.check_where(connection, &HSM_MOVE, "true").await?;
    let update = sqlx::query("UPDATE hsm_move SET emptied = 1");
    execute(connection, "HSM is emptied", update).await?;
    authentic.seal_where(connection, &HSM_MOVE, "true").await
}

pub(crate) async fn finish(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let delete = sqlx::query("DELETE FROM hsm_move");
    execute(connection, "finish HSM move", delete)
        .await
        .map(drop)
}
