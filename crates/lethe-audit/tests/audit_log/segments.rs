//! Segments: their names, sizes, borders, and what a start finds.

use std::io::Write;

use crate::common::{lines, mode, open, requests, segments, try_open};
use lethe_core::ports::AuditSink;
use lethe_testkit::audit_contract::record;

#[tokio::test]
async fn a_running_segment_is_preallocated_and_a_closed_one_cut() {
    let folder = tempfile::tempdir().unwrap();
    let sink = open(folder.path(), 8_192);
    sink.append(record("1")).await.unwrap();
    let path = folder.path().join("audit-00000001.jsonl");
    assert_eq!(segments(folder.path()), std::slice::from_ref(&path));
    let content = std::fs::read(&path).unwrap();
    assert_eq!(content.len(), 8_192);
    let end = record("1").as_bytes().len();
    assert!(content[end..].iter().all(|byte| *byte == b'\n'));
    sink.close().await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), end as u64 + 1);
    let names = folder.path().read_dir().unwrap().count();
    assert_eq!(names, 2, "the segment and the lock, no draft");
}

#[tokio::test]
async fn full_segments_are_followed_by_ones_made_ahead() {
    const SEGMENT: u64 = 8 << 20; // larger than the short ones that are made when needed
    let folder = tempfile::tempdir().unwrap();
    let sink = open(folder.path(), SEGMENT);
    let large = "x".repeat(300_000);
    // A file made ahead is taken once it is there; short ones follow until then.
    let newest = || {
        let path = segments(folder.path()).pop().unwrap();
        std::fs::metadata(path).unwrap().len()
    };
    let mut appended = 0;
    while segments(folder.path()).len() == 1 || newest() != SEGMENT {
        sink.append(record(&large)).await.unwrap();
        appended += 1;
        assert!(appended < 2_000, "no file made ahead is taken");
    }
    assert_eq!(lines(folder.path()).len(), appended);
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let sink = open(folder.path(), 4_096);
    for _ in 0..60 {
        sink.append(record("x")).await.unwrap();
    }
    for entry in folder.path().read_dir().unwrap() {
        let path = entry.unwrap().path();
        // The file made ahead may have got its name just now.
        if path.exists() {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
}

#[tokio::test]
async fn a_second_writer_is_refused_until_the_first_closes() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path(), 4_096);
    let refused = try_open(folder.path(), 4_096).err().unwrap();
    assert!(refused.0.contains("another process"), "{refused}");
    first.close().await.unwrap();
    open(folder.path(), 4_096);
}

#[tokio::test]
async fn a_closed_log_refuses_and_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let sink = open(folder.path(), 4_096);
    sink.append(record("1")).await.unwrap();
    sink.close().await.unwrap();
    sink.close().await.unwrap();
    assert!(sink.append(record("late")).await.is_err());
    assert!(sink.check().is_err());
    assert_eq!(requests(folder.path()), ["1"]);
}

#[tokio::test]
async fn a_torn_last_line_is_taken_out_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let sink = open(folder.path(), 4_096);
    sink.append(record("1")).await.unwrap();
    sink.close().await.unwrap();
    let path = segments(folder.path()).pop().unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    let torn = record("torn");
    file.write_all(&torn.as_bytes()[..40]).unwrap();
    file.write_all(&[b'\n'; 1_000]).unwrap();
    let sink = open(folder.path(), 4_096);
    sink.append(record("2")).await.unwrap();
    assert_eq!(requests(folder.path()), ["1", "2"]);
}

#[tokio::test]
async fn a_foreign_file_in_the_way_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let sink = open(folder.path(), 4_096);
    sink.append(record("1")).await.unwrap();
    let foreign = folder.path().join("audit-00000002.jsonl");
    std::fs::write(&foreign, "{\"request\":\"foreign\"}\n").unwrap();
    sink.append(record(&"x".repeat(5_000))).await.unwrap();
    sink.close().await.unwrap();
    let found = requests(folder.path());
    assert_eq!(found[..2], ["1", "foreign"]);
    assert_eq!(found.len(), 3);
}

#[test]
fn a_missing_folder_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let refused = try_open(&folder.path().join("none"), 4_096).err().unwrap();
    assert!(refused.0.contains("none"), "{refused}");
}
