//! The statements of the write transactions; each runs inside one that its caller began.

use lethe_core::deployment_key::Column;
use lethe_core::identity::{DeploymentId, KeyspaceId};
use lethe_core::ports::{BucketRow, KeyspaceRow, Seat, StoreError, VersionRow};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteArguments;

use crate::authentic::{Authenticity, BUCKET};
use crate::decode::{self, signed};
use crate::errors::during;
use crate::trees;

type Statement<'q> = sqlx::query::Query<'q, sqlx::Sqlite, SqliteArguments>;

pub(crate) async fn execute(
    connection: &mut SqliteConnection,
    name: &'static str,
    statement: Statement<'_>,
) -> Result<u64, StoreError> {
    Ok(statement
        .execute(connection)
        .await
        .map_err(during(name))?
        .rows_affected())
}

pub(crate) async fn set_deployment(
    connection: &mut SqliteConnection,
    id: DeploymentId,
) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT id FROM deployment")
        .fetch_one(&mut *connection)
        .await
        .map_err(during("set deployment"))?;
    match decode::deployment(&row)? {
        Some(present) if present == id => return Ok(()),
        Some(_) => {
            return Err(StoreError::Conflict(
                "the store belongs to another deployment",
            ));
        }
        None => {}
    }
    let update = sqlx::query("UPDATE deployment SET id = ?").bind(id.as_bytes().to_vec());
    execute(connection, "set deployment", update)
        .await
        .map(drop)
}

pub(crate) async fn set_seat(
    connection: &mut SqliteConnection,
    seat: &Seat,
) -> Result<(), StoreError> {
    let replace = sqlx::query(
        "INSERT INTO seat (row_id, store_id, nonce, next) VALUES (1, ?, ?, ?)
         ON CONFLICT (row_id) DO UPDATE SET
             store_id = excluded.store_id, nonce = excluded.nonce, next = excluded.next",
    )
    .bind(seat.store.as_bytes().to_vec())
    .bind(seat.nonce.as_bytes().to_vec())
    .bind(seat.next.map(|next| next.as_bytes().to_vec()));
    execute(connection, "set the seat", replace).await.map(drop)
}

pub(crate) async fn create_keyspace(
    connection: &mut SqliteConnection,
    keyspace: &KeyspaceRow,
) -> Result<(), StoreError> {
    if keyspace.versions.is_empty() {
        return Err(StoreError::Corrupt(
            "key_version: a keyspace without a version".into(),
        ));
    }
    let insert = sqlx::query(
        "INSERT INTO keyspace
             (id, name, retention_s, shorter_retentions_s, granularity_s, rotation_ms, cache_ttl_ms,
              leases_until_ms, expiries_until_ms, minimum_version)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(keyspace.id.as_bytes().to_vec())
    .bind(keyspace.name.as_str().to_owned());
    let insert = bind_settings(insert, keyspace)?;
    execute(connection, "create keyspace", insert).await?;
    for version in &keyspace.versions {
        insert_version(connection, keyspace.id, version).await?;
    }
    Ok(())
}

pub(crate) async fn insert_version(
    connection: &mut SqliteConnection,
    keyspace: KeyspaceId,
    version: &VersionRow,
) -> Result<(), StoreError> {
    let insert = sqlx::query(
        "INSERT INTO key_version (keyspace_id, version, created_at_ms) VALUES (?, ?, ?)",
    )
    .bind(keyspace.as_bytes().to_vec())
    .bind(i64::from(version.version.number()))
    .bind(signed(
        version.created_at.as_millis(),
        "key_version.created_at_ms",
    )?);
    execute(connection, "create key version", insert).await?;
    trees::create(connection, keyspace, version.version).await
}

/// In the order of the columns, from retention to smallest version.
fn bind_settings<'q>(
    statement: Statement<'q>,
    keyspace: &KeyspaceRow,
) -> Result<Statement<'q>, StoreError> {
    let policy = &keyspace.policy;
    let shorter = policy.shorter_retentions();
    let shorter: Vec<u8> = shorter
        .flat_map(|it| it.as_seconds().to_be_bytes())
        .collect();
    Ok(statement
        .bind(signed(policy.retention_seconds(), "keyspace.retention_s")?)
        .bind(shorter)
        .bind(signed(
            policy.granularity_seconds(),
            "keyspace.granularity_s",
        )?)
        .bind(signed(
            policy.rotation().as_millis(),
            "keyspace.rotation_ms",
        )?)
        .bind(signed(
            policy.cache_ttl().as_millis(),
            "keyspace.cache_ttl_ms",
        )?)
        .bind(signed(
            keyspace.leases_until.as_millis(),
            "keyspace.leases_until_ms",
        )?)
        .bind(signed(
            keyspace.expiries_until.as_millis(),
            "keyspace.expiries_until_ms",
        )?)
        .bind(i64::from(keyspace.minimum_version.number())))
}

/// Its versions stay the same ones.
pub(crate) async fn replace_keyspace(
    connection: &mut SqliteConnection,
    keyspace: &KeyspaceRow,
) -> Result<(), StoreError> {
    let update = sqlx::query(
        "UPDATE keyspace SET retention_s = ?, shorter_retentions_s = ?, granularity_s = ?,
                rotation_ms = ?, cache_ttl_ms = ?, leases_until_ms = ?, expiries_until_ms = ?,
                minimum_version = ? WHERE id = ?",
    );
    let id = keyspace.id.as_bytes().to_vec();
    let update = bind_settings(update, keyspace)?.bind(id.clone());
    let mut replaced = execute(connection, "replace keyspace", update).await?;
    for version in &keyspace.versions {
        let update = sqlx::query(
            "UPDATE key_version SET created_at_ms = ? WHERE keyspace_id = ? AND version = ?",
        )
        .bind(signed(
            version.created_at.as_millis(),
            "key_version.created_at_ms",
        )?)
        .bind(id.clone())
        .bind(i64::from(version.version.number()));
        replaced += execute(connection, "replace key version", update).await?;
    }
    if replaced == 1 + keyspace.versions.len() as u64 {
        Ok(())
    } else {
        Err(StoreError::Conflict("no such keyspace or key version"))
    }
}

pub(crate) fn bucket_mac(
    authentic: &Authenticity,
    bucket: &BucketRow,
) -> Result<Option<Vec<u8>>, StoreError> {
    let columns = [
        Column::Integer(signed(bucket.expiry.as_seconds(), "bucket.expiry_s")?),
        Column::Blob(bucket.key.as_bytes()),
        Column::Blob(&bucket.sealed.iv),
        Column::Blob(&bucket.sealed.ciphertext),
    ];
    Ok(authentic.mac(&BUCKET, &columns).map(Vec::from))
}

pub(crate) async fn create_buckets(
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
