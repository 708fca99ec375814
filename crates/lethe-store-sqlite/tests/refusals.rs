//! What is not a database of ours, or not ours now, is refused with the right error.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

use std::os::unix::fs::PermissionsExt;

use lethe_core::ports::{Store, StoreError};
use lethe_store_sqlite::SqliteStore;
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
    let first = SqliteStore::create(&path, "m").await.unwrap();
    assert_eq!(
        SqliteStore::open(&path, "m").await.unwrap_err(),
        StoreError::InUse
    );
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        first.instance(),
        format!("sqlite:m:{}", path.canonicalize().unwrap().display())
    );
    first.close().await;
    drop(first);
    SqliteStore::open(&path, "m").await.unwrap().close().await;
    assert!(matches!(
        SqliteStore::create(&path, "m").await,
        Err(StoreError::Conflict(_))
    ));
}

#[tokio::test]
async fn a_missing_file_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lethe.db");
    let expected = StoreError::Unavailable(format!("no database at {}", path.display()));
    assert_eq!(SqliteStore::open(&path, "m").await.unwrap_err(), expected);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn garbage_and_an_empty_file_are_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lethe.db");
    for content in [vec![0x5a; 8_192], Vec::new()] {
        std::fs::write(&path, &content).unwrap();
        let refused = SqliteStore::open(&path, "m").await.unwrap_err();
        assert!(matches!(refused, StoreError::Corrupt(_)), "{refused:?}");
    }
}

#[tokio::test]
async fn a_newer_schema_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lethe.db");
    SqliteStore::create(&path, "m").await.unwrap().close().await;
    alter(
        &path,
        "INSERT INTO _sqlx_migrations VALUES (99, 'later', 0, 1, x'00', 0)",
    )
    .await;
    assert_eq!(
        SqliteStore::open(&path, "m").await.unwrap_err(),
        StoreError::Newer(99)
    );
}

#[tokio::test]
async fn an_impossible_row_is_corrupt_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lethe.db");
    SqliteStore::create(&path, "m").await.unwrap().close().await;
    alter(
        &path,
        "PRAGMA ignore_check_constraints = 1; UPDATE deployment SET id = x'01'",
    )
    .await;
    let store = SqliteStore::open(&path, "m").await.unwrap();
    assert_eq!(
        store.deployment().await,
        Err(StoreError::Corrupt("deployment.id".into()))
    );
}
