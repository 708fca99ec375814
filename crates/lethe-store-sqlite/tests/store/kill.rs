//! A process killed at any instant loses nothing that it acknowledged, and its lock goes with it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use lethe_core::ports::{BucketStore, StoreError};
use lethe_store_sqlite::SqliteStore;
use lethe_testkit::store_contract::bucket;

const DATABASE: &str = "LETHE_TEST_DATABASE";
const ACKNOWLEDGED: &str = "acknowledged ";

/// The child's part; does nothing when the suite runs it as a test.
#[tokio::test]
async fn child_writes_until_it_is_killed() {
    let Ok(path) = std::env::var(DATABASE) else {
        return;
    };
    let store = SqliteStore::open(&path).await.unwrap();
    for expiry in 0.. {
        store.create_buckets(&[bucket(expiry)]).await.unwrap();
        println!("\n{ACKNOWLEDGED}{expiry}");
    }
}

fn spawn(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "kill::child_writes_until_it_is_killed",
            "--nocapture",
        ])
        .env(DATABASE, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lethe.db");
    SqliteStore::create(&path).await.unwrap().close().await;
    let mut child = spawn(&path);
    let lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let mut acknowledged =
        lines.filter_map(|line| line.strip_prefix(ACKNOWLEDGED)?.parse::<u64>().ok());
    let mut last = acknowledged.nth(50).unwrap();
    assert_eq!(
        SqliteStore::open(&path).await.unwrap_err(),
        StoreError::InUse
    );
    child.kill().unwrap();
    child.wait().unwrap();
    last = acknowledged.last().unwrap_or(last);
    let store = SqliteStore::open(&path).await.unwrap();
    let present = store.buckets().await.unwrap();
    assert!(
        present.len() as u64 > last,
        "{} rows, acknowledged up to {last}",
        present.len()
    );
    assert!(
        present
            .iter()
            .zip(0..)
            .all(|(row, expiry)| *row == bucket(expiry))
    );
}
