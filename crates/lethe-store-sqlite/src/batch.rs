//! The statements of one batch: the meta row, then what changed beside it.

use lethe_core::identity::KeyspaceId;
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::{BatchCommit, KeyspaceChange, MetaRow, StoreError};
use sqlx::SqliteConnection;

use crate::authentic::{self, Authenticity};
use crate::decode::signed;
use crate::statements::{self, execute};
use crate::{approvals, clock, erasures, trees};

pub(crate) async fn commit_batch(
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
    clock::raise(connection, authentic, &batch.mark).await?;
    for change in &batch.trees {
        trees::change(connection, change).await?;
    }
    if let Some(fulfilled) = &batch.fulfilled {
        erasures::fulfil(connection, batch.meta.sequence, fulfilled).await?;
    }
    for change in &batch.keyspaces {
        apply(connection, change).await?;
    }
    match &batch.begins {
        Some(key) => authentic::seal_all(connection, key).await,
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

async fn apply(
    connection: &mut SqliteConnection,
    change: &KeyspaceChange,
) -> Result<(), StoreError> {
    match change {
        KeyspaceChange::Create(row) => statements::create_keyspace(connection, row).await,
        KeyspaceChange::AddVersion(id, version) => {
            statements::insert_version(connection, *id, version).await
        }
        KeyspaceChange::DropVersion(id, version) => drop_version(connection, *id, *version).await,
        KeyspaceChange::DropKeyspace(id) => drop_keyspace(connection, *id).await,
        KeyspaceChange::Replace(row) => statements::replace_keyspace(connection, row).await,
    }
}

async fn drop_version(
    connection: &mut SqliteConnection,
    id: KeyspaceId,
    version: KeyVersion,
) -> Result<(), StoreError> {
    let delete = sqlx::query("DELETE FROM key_version WHERE keyspace_id = ? AND version = ?")
        .bind(id.as_bytes().to_vec())
        .bind(i64::from(version.number()));
    one(
        execute(connection, "drop key version", delete).await?,
        "no such key version",
    )?;
    trees::drop_version(connection, id, version).await
}

async fn drop_keyspace(
    connection: &mut SqliteConnection,
    id: KeyspaceId,
) -> Result<(), StoreError> {
    let delete = sqlx::query("DELETE FROM keyspace WHERE id = ?").bind(id.as_bytes().to_vec());
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
