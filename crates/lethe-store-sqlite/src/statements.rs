//! The statements of the write transactions; each runs inside one that its caller began.

use lethe_core::clock::Confirmation;
use lethe_core::identity::{DeploymentId, KeyspaceId};
use lethe_core::ports::{BucketRow, KeyspaceRow, Seat, SettingsChange, StoreError, VersionRow};
use lethe_core::time::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteArguments;

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
    let settings = SettingsChange {
        policy: keyspace.policy,
        minimum_version: keyspace.minimum_version,
        leases_until: keyspace.leases_until,
        expiries_until: keyspace.expiries_until,
    };
    let insert = bind_settings(insert, &settings)?;
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
    settings: &SettingsChange,
) -> Result<Statement<'q>, StoreError> {
    let policy = &settings.policy;
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
            settings.leases_until.as_millis(),
            "keyspace.leases_until_ms",
        )?)
        .bind(signed(
            settings.expiries_until.as_millis(),
            "keyspace.expiries_until_ms",
        )?)
        .bind(i64::from(settings.minimum_version.number())))
}

pub(crate) async fn set_policy(
    connection: &mut SqliteConnection,
    id: KeyspaceId,
    change: &SettingsChange,
) -> Result<bool, StoreError> {
    let update = sqlx::query(
        "UPDATE keyspace SET retention_s = ?, shorter_retentions_s = ?, granularity_s = ?, rotation_ms = ?, cache_ttl_ms = ?,
                leases_until_ms = max(leases_until_ms, ?),
                expiries_until_ms = max(expiries_until_ms, ?), minimum_version = ? WHERE id = ?",
    );
    let update = bind_settings(update, change)?.bind(id.as_bytes().to_vec());
    Ok(execute(connection, "set policy", update).await? > 0)
}

pub(crate) async fn create_buckets(
    connection: &mut SqliteConnection,
    buckets: &[BucketRow],
) -> Result<(), StoreError> {
    for bucket in buckets {
        let insert = sqlx::query(
            "INSERT INTO bucket (expiry_s, hsm_key_id, iv, ciphertext) VALUES (?, ?, ?, ?)",
        )
        .bind(signed(bucket.expiry.as_seconds(), "bucket.expiry_s")?)
        .bind(bucket.key.as_bytes().to_vec())
        .bind(bucket.sealed.iv.to_vec())
        .bind(bucket.sealed.ciphertext.to_vec());
        execute(connection, "create buckets", insert).await?;
    }
    Ok(())
}

pub(crate) async fn raise_clock_high_water(
    connection: &mut SqliteConnection,
    time: Timestamp,
) -> Result<(), StoreError> {
    let update = sqlx::query(
        "UPDATE deployment SET clock_high_water_ms = max(coalesce(clock_high_water_ms, 0), ?)",
    )
    .bind(signed(time.as_millis(), "deployment.clock_high_water_ms")?);
    match execute(connection, "raise clock high water", update).await? {
        1 => Ok(()),
        _ => Err(StoreError::Corrupt("deployment: not one row".into())),
    }
}

pub(crate) async fn confirm_clock(
    connection: &mut SqliteConnection,
    confirmed: Confirmation,
) -> Result<(), StoreError> {
    raise_clock_high_water(connection, confirmed.time).await?;
    let lag = u64::try_from(confirmed.lag.as_millis()).unwrap_or(u64::MAX);
    let update = sqlx::query("UPDATE deployment SET clock_lag_ms = ?")
        .bind(signed(lag, "deployment.clock_lag_ms")?);
    execute(connection, "confirm clock", update).await.map(drop)
}
