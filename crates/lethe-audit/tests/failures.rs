//! Failures while running: nothing is answered that is not on the disk, and the log comes back.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod common;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{open, requests, segments, try_open};
use lethe_audit::FileAuditSink;
use lethe_core::ports::AuditSink;
use lethe_testkit::audit_contract::record;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

async fn recovered(sink: &FileAuditSink) {
    while sink.check().is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_deleted_segment_is_noticed_by_the_next_append() {
    let folder = tempfile::tempdir().unwrap();
    let sink = open(folder.path(), 65_536);
    sink.append(record("1")).await.unwrap();
    std::fs::remove_file(&segments(folder.path())[0]).unwrap();
    let refused = sink.append(record("2")).await.unwrap_err();
    assert!(refused.0.contains("deleted"), "{refused}");
    recovered(&sink).await;
    sink.append(record("3")).await.unwrap();
    assert_eq!(requests(folder.path()), ["3"]);
    let name = segments(folder.path())[0].clone();
    assert!(name.ends_with("audit-00000002.jsonl"), "no number twice");
}

#[tokio::test]
async fn a_deleted_segment_is_noticed_without_traffic() {
    let folder = tempfile::tempdir().unwrap();
    let sink = open(folder.path(), 65_536);
    std::fs::remove_file(&segments(folder.path())[0]).unwrap();
    while sink.check().is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    recovered(&sink).await;
    sink.append(record("1")).await.unwrap();
    assert_eq!(requests(folder.path()), ["1"]);
}

#[tokio::test]
async fn a_folder_that_came_back_is_locked_again() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, gone) = (parent.path().join("audit"), parent.path().join("gone"));
    std::fs::create_dir(&folder).unwrap();
    let sink = open(&folder, 65_536);
    std::fs::rename(&folder, &gone).unwrap();
    std::fs::remove_dir_all(gone).unwrap();
    assert!(sink.append(record("1")).await.is_err());
    std::fs::create_dir(&folder).unwrap();
    recovered(&sink).await;
    assert!(try_open(&folder, 65_536).is_err());
}

const LIMITED: &str = "LETHE_AUDIT_LIMITED";

/// The child of the next test: a file-size limit stands for the full disk.
#[tokio::test]
async fn child_meets_a_full_disk() {
    let Some(folder) = std::env::var_os(LIMITED) else {
        return;
    };
    let sink = open(Path::new(&folder), 65_536);
    sink.append(record("before")).await.unwrap();
    let maximum = getrlimit(Resource::Fsize).maximum;
    let limit = |current| setrlimit(Resource::Fsize, Rlimit { current, maximum }).unwrap();
    limit(Some(16_384));
    let large = "x".repeat(100_000);
    assert!(sink.append(record(&large)).await.is_err());
    assert!(sink.check().is_err());
    assert!(sink.append(record("refused")).await.is_err());
    limit(maximum);
    recovered(&sink).await;
    sink.append(record("after")).await.unwrap();
}

#[test]
fn a_full_disk_is_an_error_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    // The signal that goes with the limit would end the child.
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child_meets_a_full_disk"])
        .env(LIMITED, folder.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    assert_eq!(requests(folder.path()), ["before", "after"]);
}
