//! Here and not in `tests/`: the limit belongs to the writer's connection.

use lethe_core::identity::HsmKeyId;
use lethe_core::ports::{BucketRow, BucketStore, SealedSecret, StoreError};
use lethe_core::time::Expiry;

use crate::SqliteStore;

fn buckets(count: u64) -> Vec<BucketRow> {
    let sealed = SealedSecret {
        iv: [1; 12],
        ciphertext: [2; 48],
    };
    let row = |expiry| BucketRow {
        expiry: Expiry::from_seconds(expiry),
        key: HsmKeyId::from_bytes([3; 16]),
        sealed: sealed.clone(),
    };
    (0..count).map(row).collect()
}

#[tokio::test]
async fn a_full_disk_is_unavailable_and_leaves_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::create(folder.path().join("lethe.db"))
        .await
        .unwrap();
    // Below the present size SQLite takes the present size as the limit.
    sqlx::query("PRAGMA max_page_count = 1")
        .execute(&store.writer)
        .await
        .unwrap();
    assert!(matches!(
        store.create_buckets(&buckets(1_000)).await,
        Err(StoreError::Unavailable(_))
    ));
    assert_eq!(store.buckets().await, Ok(vec![]));
    sqlx::query("PRAGMA max_page_count = 100000")
        .execute(&store.writer)
        .await
        .unwrap();
    assert_eq!(store.create_buckets(&buckets(1_000)).await, Ok(()));
    assert_eq!(store.buckets().await.map(|rows| rows.len()), Ok(1_000));
}
