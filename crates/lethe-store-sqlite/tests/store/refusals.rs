//! What is not a database of ours, or not ours now, is refused with the right error.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use lethe_core::clock::Mark;
use lethe_core::ports::{
    BucketStore, ClockStore, DeploymentStore, Durability, ErasureStore, StoreError, Strength,
};
use lethe_core::time::Timestamp;
use lethe_store_sqlite::SqliteStore;
use lethe_testkit::store_contract::bucket;
use sqlx::{ConnectOptions, Connection};

async fn alter(path: &std::path::Path, statement: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(statement)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_second_opening_is_refused_while_the_first_lives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lethe.db");
    let first = SqliteStore::create(&path).await.unwrap();
    assert_eq!(
        SqliteStore::open(&path).await.unwrap_err(),
        StoreError::InUse
    );
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let place = first.location();
    assert_eq!(Path::new(&place.path), path.canonicalize().unwrap());
    let file = std::fs::metadata(&path).unwrap();
    assert_eq!(place.file, (file.dev(), file.ino()));
    assert!(place.is_same_file(place), "this kernel names its boot");
    first.close().await;
    drop(first);
    SqliteStore::open(&path).await.unwrap().close().await;
    assert!(matches!(
        SqliteStore::create(&path).await,
        Err(StoreError::Conflict(_))
    ));
}

#[tokio::test]
async fn a_missing_file_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lethe.db");
    let expected = StoreError::Unavailable(format!("no database at {}", path.display()));
    assert_eq!(SqliteStore::open(&path).await.unwrap_err(), expected);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn garbage_and_an_empty_file_are_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lethe.db");
    for content in [vec![0x5a; 8_192], Vec::new()] {
        std::fs::write(&path, &content).unwrap();
        let refused = SqliteStore::open(&path).await.unwrap_err();
        assert!(matches!(refused, StoreError::Corrupt(_)), "{refused:?}");
    }
}

#[tokio::test]
async fn a_newer_schema_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lethe.db");
    SqliteStore::create(&path).await.unwrap().close().await;
    alter(
        &path,
        "INSERT INTO _sqlx_migrations VALUES (99, 'later', 0, 1, x'00', 0)",
    )
    .await;
    assert_eq!(
        SqliteStore::open(&path).await.unwrap_err(),
        StoreError::Newer(99)
    );
}

#[tokio::test]
async fn an_impossible_row_is_corrupt_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lethe.db");
    SqliteStore::create(&path).await.unwrap().close().await;
    alter(
        &path,
        "PRAGMA ignore_check_constraints = 1; UPDATE deployment SET id = x'01'",
    )
    .await;
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(
        store.deployment().await,
        Err(StoreError::Corrupt("deployment.id".into()))
    );
}

/// Whatever is done to the lock file, and by whatever name it comes: one process at a time.
#[tokio::test]
async fn the_database_itself_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lethe.db");
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let store = SqliteStore::create(&path).await.unwrap();
    for lock in ["lethe.db.lock", "link.db.lock"] {
        // Deleted, or never there by that name.
        let _ = std::fs::remove_file(folder.path().join(lock));
        for name in [&path, &link] {
            let second = SqliteStore::open(name).await.unwrap_err();
            assert_eq!(second, StoreError::InUse, "{}", name.display());
        }
    }
    store.close().await;
}

#[tokio::test]
async fn a_database_of_two_names_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lethe.db");
    SqliteStore::create(&path).await.unwrap().close().await;
    let other = folder.path().join("other.db");
    std::fs::hard_link(&path, &other).unwrap();
    for name in [&path, &other] {
        let refused = SqliteStore::open(name).await.unwrap_err();
        assert!(refused.to_string().contains("hard links"), "{refused}");
    }
    std::fs::remove_file(&other).unwrap();
    SqliteStore::open(&path).await.unwrap().close().await;
}

/// An identical copy in place of a file that is in use: what would be written is not where the next
/// start looks, so nothing is, and nothing counts as durable.
#[tokio::test]
async fn nothing_is_written_while_a_file_is_another_than_the_one_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let path = home.join("lethe.db");
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let store = SqliteStore::create(&path).await.unwrap();
    store.close().await;
    drop(store);
    let store = SqliteStore::open(&link).await.unwrap();
    let aside = folder.path().join("aside");
    let mut expiry = 60;
    for name in ["lethe.db", "lethe.db-wal", "lethe.db-shm", ".", "link"] {
        match name {
            // The folder, renamed.
            "." => std::fs::rename(&home, &aside).unwrap(),
            "link" => {
                std::fs::copy(&path, &aside).unwrap();
                std::fs::remove_file(&link).unwrap();
                std::os::unix::fs::symlink(&aside, &link).unwrap();
            }
            file => {
                std::fs::rename(home.join(file), &aside).unwrap();
                std::fs::copy(&aside, home.join(file)).unwrap();
            }
        }
        let before = store.buckets().await.unwrap().len();
        let refused = |done: Result<(), StoreError>| {
            assert!(matches!(done, Err(StoreError::Unavailable(_))), "{name}");
        };
        refused(store.create_buckets(&[bucket(expiry)]).await);
        let mark = Mark {
            high_water: Some(Timestamp::from_millis(1)),
            ..Mark::default()
        };
        refused(store.raise_clock_mark(&mark).await);
        refused(store.accept(&[]).await.map(drop));
        refused(store.barrier(Strength::Destroying).await);
        assert_eq!(store.buckets().await.unwrap().len(), before, "{name}");
        match name {
            "." => std::fs::rename(&aside, &home).unwrap(),
            "link" => {
                std::fs::remove_file(&link).unwrap();
                std::os::unix::fs::symlink(&path, &link).unwrap();
            }
            file => std::fs::rename(&aside, home.join(file)).unwrap(),
        }
        assert_eq!(store.barrier(Strength::Destroying).await, Ok(()), "{name}");
        assert_eq!(store.create_buckets(&[bucket(expiry)]).await, Ok(()));
        expiry += 60;
    }
    store.close().await;
}
