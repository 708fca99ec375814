//! Where the store is: which database of which cluster, and which file this process has locked here.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use lethe_core::claim::{StoreKind, StoreLocation};
use lethe_core::ports::StoreError;
use lethe_store_sql::place::boot_id;
use sqlx::PgConnection;

use crate::errors::during;

/// Locks a file of this host. Whoever has it locked knows that the process that had it locked before is dead.
pub(crate) fn lock(path: &Path) -> Result<File, StoreError> {
    let failed =
        |error| StoreError::Unavailable(format!("cannot lock {}: {error}", path.display()));
    let mut options = OpenOptions::new();
    let options = options.create(true).truncate(false).write(true).mode(0o600);
    let file = options.open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// `<system identifier>:<database>`. Physical copies share the identifier.
pub(crate) async fn location(
    connection: &mut PgConnection,
    lock: &File,
) -> Result<StoreLocation, StoreError> {
    let path = sqlx::query_scalar(
        "SELECT system_identifier || ':' || current_database() FROM pg_control_system()",
    );
    let path = path.fetch_one(connection).await;
    let found = lock.metadata();
    let found = found.map_err(|error| StoreError::Unavailable(format!("the lock: {error}")))?;
    Ok(StoreLocation {
        kind: StoreKind::Postgres,
        boot: boot_id(),
        file: (found.dev(), found.ino()),
        path: path.map_err(during("find the database"))?,
    })
}
