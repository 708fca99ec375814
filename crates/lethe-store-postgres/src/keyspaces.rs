//! Keyspaces and their versions.

use async_trait::async_trait;
use lethe_core::identity::KeyspaceId;
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::{KeyspaceChange, KeyspaceRow, KeyspaceStore, StoreError, VersionRow};
use lethe_store_sql::decode;
use lethe_store_sql::encode::KeyspaceColumns;
use lethe_store_sql::row::signed;
use sqlx::PgConnection;

use crate::open::PostgresStore;
use crate::statements::{Statement, execute, rows};
use crate::trees;

#[async_trait]
impl KeyspaceStore for PostgresStore {
    async fn keyspaces(&self) -> Result<Vec<KeyspaceRow>, StoreError> {
        let name = "read keyspaces";
        let rows = self.calls.read(name, move |connection| {
            let query = sqlx::query(
                "SELECT k.id, k.name, k.retention_s, k.shorter_retentions_s, k.granularity_s,
                        k.rotation_ms, k.cache_ttl_ms, k.leases_until_ms, k.expiries_until_ms,
                        k.minimum_version, v.version, v.created_at_ms
                 FROM keyspace k LEFT JOIN key_version v ON v.keyspace_id = k.id
                 ORDER BY k.name, v.version",
            );
            Box::pin(rows(connection, name, query))
        });
        decode::keyspaces(&rows.await?)
    }
}

pub(crate) async fn apply(
    connection: &mut PgConnection,
    change: &KeyspaceChange,
) -> Result<(), StoreError> {
    match change {
        KeyspaceChange::Create(row) => create_keyspace(connection, row).await,
        KeyspaceChange::AddVersion(id, version) => insert_version(connection, *id, version).await,
        KeyspaceChange::DropVersion(id, version) => drop_version(connection, *id, *version).await,
        KeyspaceChange::DropKeyspace(id) => drop_keyspace(connection, *id).await,
        KeyspaceChange::Replace(row) => replace_keyspace(connection, row).await,
    }
}

async fn create_keyspace(
    connection: &mut PgConnection,
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
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(keyspace.id.as_bytes().as_slice())
    .bind(keyspace.name.as_str());
    let insert = bind_settings(insert, keyspace)?;
    execute(connection, "create keyspace", insert).await?;
    for version in &keyspace.versions {
        insert_version(connection, keyspace.id, version).await?;
    }
    Ok(())
}

async fn insert_version(
    connection: &mut PgConnection,
    keyspace: KeyspaceId,
    version: &VersionRow,
) -> Result<(), StoreError> {
    let insert = sqlx::query(
        "INSERT INTO key_version (keyspace_id, version, created_at_ms) VALUES ($1, $2, $3)",
    )
    .bind(keyspace.as_bytes().as_slice())
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
    let columns = KeyspaceColumns::new(keyspace)?;
    Ok(statement
        .bind(columns.retention)
        .bind(columns.shorter)
        .bind(columns.granularity)
        .bind(columns.rotation)
        .bind(columns.cache_ttl)
        .bind(columns.leases_until)
        .bind(columns.expiries_until)
        .bind(columns.minimum_version))
}

/// Its versions stay the same ones.
async fn replace_keyspace(
    connection: &mut PgConnection,
    keyspace: &KeyspaceRow,
) -> Result<(), StoreError> {
    let update = sqlx::query(
        "UPDATE keyspace SET retention_s = $2, shorter_retentions_s = $3, granularity_s = $4,
                rotation_ms = $5, cache_ttl_ms = $6, leases_until_ms = $7, expiries_until_ms = $8,
                minimum_version = $9 WHERE id = $1",
    );
    let id = keyspace.id.as_bytes().as_slice();
    let update = bind_settings(update.bind(id), keyspace)?;
    let mut replaced = execute(connection, "replace keyspace", update).await?;
    for version in &keyspace.versions {
        let update = sqlx::query(
            "UPDATE key_version SET created_at_ms = $1 WHERE keyspace_id = $2 AND version = $3",
        )
        .bind(signed(
            version.created_at.as_millis(),
            "key_version.created_at_ms",
        )?)
        .bind(id)
        .bind(i64::from(version.version.number()));
        replaced += execute(connection, "replace key version", update).await?;
    }
    if replaced == 1 + keyspace.versions.len() as u64 {
        Ok(())
    } else {
        Err(StoreError::Conflict("no such keyspace or key version"))
    }
}

async fn drop_version(
    connection: &mut PgConnection,
    id: KeyspaceId,
    version: KeyVersion,
) -> Result<(), StoreError> {
    let delete = sqlx::query("DELETE FROM key_version WHERE keyspace_id = $1 AND version = $2")
        .bind(id.as_bytes().as_slice())
        .bind(i64::from(version.number()));
    one(
        execute(connection, "drop key version", delete).await?,
        "no such key version",
    )?;
    trees::drop_version(connection, id, version).await
}

async fn drop_keyspace(connection: &mut PgConnection, id: KeyspaceId) -> Result<(), StoreError> {
    let delete = sqlx::query("DELETE FROM keyspace WHERE id = $1").bind(id.as_bytes().as_slice());
    one(
        execute(connection, "drop keyspace", delete).await?,
        "no such keyspace",
    )?;
    trees::drop_keyspace(connection, id).await
}

const fn one(rows: u64, otherwise: &'static str) -> Result<(), StoreError> {
    if rows == 1 {
        Ok(())
    } else {
        Err(StoreError::Conflict(otherwise))
    }
}
