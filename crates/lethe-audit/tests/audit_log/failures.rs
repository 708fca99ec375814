//! Failures while running: nothing is answered that is not on the disk, and the log comes back.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::common::{open, requests, segments, try_open};
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

/// What somebody does to the running log, and what the log says of it.
type Attack = (fn(&Path), &'static str);

fn segment(folder: &Path) -> std::path::PathBuf {
    segments(folder).pop().unwrap()
}

const ATTACKS: [Attack; 5] = [
    (
        |folder| std::fs::rename(segment(folder), folder.join("moved")).unwrap(),
        "moved",
    ),
    (
        |folder| {
            let copy = folder.join("copy");
            std::fs::copy(segment(folder), &copy).unwrap();
            std::fs::rename(copy, segment(folder)).unwrap();
        },
        "deleted",
    ),
    (
        |folder| {
            let kept = folder.join("kept");
            std::fs::rename(segment(folder), &kept).unwrap();
            std::fs::copy(kept, folder.join("audit-00000001.jsonl")).unwrap();
        },
        "another file",
    ),
    (
        |folder| {
            let file = std::fs::File::options().write(true).open(segment(folder));
            file.unwrap().set_len(3).unwrap();
        },
        "cut",
    ),
    (
        |folder| {
            use std::os::unix::fs::FileExt;
            let file = std::fs::File::options().write(true).open(segment(folder));
            let file = file.unwrap();
            // The file system's clock may tick more slowly than this test.
            let before = file.metadata().unwrap().modified().unwrap();
            while file.metadata().unwrap().modified().unwrap() == before {
                file.write_all_at(b"overwritten", 0).unwrap();
            }
        },
        "written by somebody else",
    ),
];

#[tokio::test]
async fn what_others_do_to_a_segment_is_noticed_by_the_next_append() {
    for (attack, why) in ATTACKS {
        let folder = tempfile::tempdir().unwrap();
        let sink = open(folder.path(), 65_536);
        sink.append(record("1")).await.unwrap();
        attack(folder.path());
        let refused = sink.append(record("2")).await.unwrap_err();
        assert!(refused.0.contains(why), "{refused}");
        assert_eq!(sink.failures(), 1);
        recovered(&sink).await;
        sink.append(record("3")).await.unwrap();
        let newest = std::fs::read_to_string(segment(folder.path())).unwrap();
        assert!(newest.contains("\"3\""), "{newest}");
    }
}

#[tokio::test]
async fn what_others_do_to_a_segment_is_noticed_without_traffic_and_left_as_it_is() {
    for (attack, why) in ATTACKS {
        let folder = tempfile::tempdir().unwrap();
        let sink = open(folder.path(), 65_536);
        sink.append(record("1")).await.unwrap();
        let first = segment(folder.path());
        attack(folder.path());
        let left = std::fs::read(&first).ok();
        while sink.failures() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        recovered(&sink).await;
        sink.append(record("2")).await.unwrap();
        assert_eq!(std::fs::read(&first).ok(), left, "{why}");
    }
}

#[tokio::test]
async fn no_other_folder_takes_the_place_of_the_one_with_the_records() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, away) = (parent.path().join("audit"), parent.path().join("away"));
    std::fs::create_dir(&folder).unwrap();
    let sink = open(&folder, 65_536);
    sink.append(record("1")).await.unwrap();
    std::fs::rename(&folder, &away).unwrap();
    std::fs::create_dir(&folder).unwrap();
    while sink.check().is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(sink.append(record("2")).await.is_err());
    // That nothing happens has no event: longer than between two tries to recover.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let failed = sink.check().unwrap_err();
    assert!(failed.0.contains("another folder"), "{failed}");
    // Only an empty one can be removed.
    std::fs::remove_dir(&folder).unwrap();
    std::fs::rename(&away, &folder).unwrap();
    recovered(&sink).await;
    sink.append(record("3")).await.unwrap();
    assert_eq!(requests(&folder), ["1", "3"]);
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
        .args(["--exact", "failures::child_meets_a_full_disk"])
        .env(LIMITED, folder.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    assert_eq!(requests(folder.path()), ["before", "after"]);
}
