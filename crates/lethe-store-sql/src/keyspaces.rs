//! Keyspaces, their versions, and the rows that stand for the trees of these.

use lethe_core::identity::KeyspaceId;
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::{KeyspaceChange, KeyspaceRow, StoreError, VersionRow};

use crate::encode::KeyspaceColumns;
use crate::row::signed;
use crate::statements::{Bind, Connection};
use crate::tails::TAILS;

/// All keyspaces with all their versions, for [`crate::decode::keyspaces`].
pub const KEYSPACES: &str =
    "SELECT k.id, k.name, k.retention_s, k.shorter_retentions_s, k.granularity_s, k.rotation_ms,
            k.cache_ttl_ms, k.leases_until_ms, k.expiries_until_ms, k.minimum_version, v.version,
            v.created_at_ms
     FROM keyspace k LEFT JOIN key_version v ON v.keyspace_id = k.id
     ORDER BY k.name, v.version";

/// # Errors
/// Those of the store; [`StoreError::Conflict`] where what is changed is not there, or there already.
pub async fn apply(db: &mut impl Connection, change: &KeyspaceChange) -> Result<(), StoreError> {
    match change {
        KeyspaceChange::Create(row) => create_keyspace(db, row).await,
        KeyspaceChange::AddVersion(id, version) => insert_version(db, *id, version).await,
        KeyspaceChange::DropVersion(id, version) => drop_version(db, *id, *version).await,
        KeyspaceChange::DropKeyspace(id) => drop_keyspace(db, *id).await,
        KeyspaceChange::Replace(row) => replace_keyspace(db, row).await,
    }
}

async fn create_keyspace(
    db: &mut impl Connection,
    keyspace: &KeyspaceRow,
) -> Result<(), StoreError> {
    if keyspace.versions.is_empty() {
        return Err(StoreError::Corrupt(
            "key_version: a keyspace without a version".into(),
        ));
    }
    let insert = "INSERT INTO keyspace
             (id, retention_s, shorter_retentions_s, granularity_s, rotation_ms, cache_ttl_ms,
              leases_until_ms, expiries_until_ms, minimum_version, name)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let mut binds = settings(keyspace)?;
    binds.push(keyspace.name.as_str().into());
    db.execute("create keyspace", insert, binds).await?;
    for version in &keyspace.versions {
        insert_version(db, keyspace.id, version).await?;
    }
    Ok(())
}

/// Its id, and its settings in the order of the columns.
fn settings(keyspace: &KeyspaceRow) -> Result<Vec<Bind>, StoreError> {
    let columns = KeyspaceColumns::new(keyspace)?;
    Ok(vec![
        keyspace.id.as_bytes().into(),
        columns.retention.into(),
        columns.shorter.as_slice().into(),
        columns.granularity.into(),
        columns.rotation.into(),
        columns.cache_ttl.into(),
        columns.leases_until.into(),
        columns.expiries_until.into(),
        columns.minimum_version.into(),
    ])
}

fn version_key(keyspace: KeyspaceId, version: KeyVersion) -> Vec<Bind> {
    vec![
        keyspace.as_bytes().into(),
        i64::from(version.number()).into(),
    ]
}

fn version_row(keyspace: KeyspaceId, version: &VersionRow) -> Result<Vec<Bind>, StoreError> {
    let created_at = signed(version.created_at.as_millis(), "key_version.created_at_ms")?;
    let mut binds = version_key(keyspace, version.version);
    binds.push(created_at.into());
    Ok(binds)
}

/// The version, and its tree.
async fn insert_version(
    db: &mut impl Connection,
    keyspace: KeyspaceId,
    version: &VersionRow,
) -> Result<(), StoreError> {
    let insert =
        "INSERT INTO key_version (keyspace_id, version, created_at_ms) VALUES ($1, $2, $3)";
    db.execute(
        "create key version",
        insert,
        version_row(keyspace, version)?,
    )
    .await?;
    let key = version_key(keyspace, version.version);
    let tree = "INSERT INTO tree (keyspace_id, version, next_tail) VALUES ($1, $2, 0)";
    db.execute("create tree", tree, key.clone()).await?;
    let first_tail =
        "UPDATE tree SET next_tail = number * $3 WHERE keyspace_id = $1 AND version = $2";
    let binds = [key, vec![TAILS.into()]].concat();
    db.execute("create tree", first_tail, binds).await.map(drop)
}

/// Its versions stay the same ones.
async fn replace_keyspace(
    db: &mut impl Connection,
    keyspace: &KeyspaceRow,
) -> Result<(), StoreError> {
    let otherwise = "no such keyspace or key version";
    let update =
        "UPDATE keyspace SET retention_s = $2, shorter_retentions_s = $3, granularity_s = $4,
                rotation_ms = $5, cache_ttl_ms = $6, leases_until_ms = $7, expiries_until_ms = $8,
                minimum_version = $9 WHERE id = $1";
    db.execute_one("replace keyspace", update, settings(keyspace)?, otherwise)
        .await?;
    for version in &keyspace.versions {
        let update =
            "UPDATE key_version SET created_at_ms = $3 WHERE keyspace_id = $1 AND version = $2";
        let binds = version_row(keyspace.id, version)?;
        db.execute_one("replace key version", update, binds, otherwise)
            .await?;
    }
    Ok(())
}

/// The rows of a tree that is dropped go later, bit by bit.
async fn drop_version(
    db: &mut impl Connection,
    id: KeyspaceId,
    version: KeyVersion,
) -> Result<(), StoreError> {
    let key = version_key(id, version);
    let delete = "DELETE FROM key_version WHERE keyspace_id = $1 AND version = $2";
    let otherwise = "no such key version";
    db.execute_one("drop key version", delete, key.clone(), otherwise)
        .await?;
    let tree = "UPDATE tree SET dropped = 1 WHERE keyspace_id = $1 AND version = $2";
    db.execute("drop tree", tree, key).await.map(drop)
}

async fn drop_keyspace(db: &mut impl Connection, id: KeyspaceId) -> Result<(), StoreError> {
    let key = vec![id.as_bytes().into()];
    let delete = "DELETE FROM keyspace WHERE id = $1";
    db.execute_one("drop keyspace", delete, key.clone(), "no such keyspace")
        .await?;
    let trees = "UPDATE tree SET dropped = 1 WHERE keyspace_id = $1";
    db.execute("drop trees", trees, key).await.map(drop)
}
