//! What the tests of the log share.
#![allow(dead_code)] // each test file uses some of it

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lethe_audit::{AuditConfig, FileAuditSink};
use lethe_core::ports::AuditError;

pub(crate) fn try_open(directory: &Path, segment_bytes: u64) -> Result<FileAuditSink, AuditError> {
    FileAuditSink::open(AuditConfig {
        directory: directory.to_owned(),
        segment_bytes,
    })
}

pub(crate) fn open(directory: &Path, segment_bytes: u64) -> FileAuditSink {
    try_open(directory, segment_bytes).unwrap()
}

/// The segments in order.
pub(crate) fn segments(directory: &Path) -> Vec<PathBuf> {
    let entries = directory.read_dir().unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "jsonl")
    });
    paths.sort();
    paths
}

/// All lines that are not empty, as any line reader finds them.
pub(crate) fn lines(directory: &Path) -> Vec<String> {
    let content = segments(directory)
        .into_iter()
        .map(|path| std::fs::read_to_string(path).unwrap());
    let lines = content.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
    lines.filter(|line| !line.is_empty()).collect()
}

/// The requests of all lines, each of which must be JSON.
pub(crate) fn requests(directory: &Path) -> Vec<String> {
    let parse = |line: String| serde_json::from_str(&line).unwrap();
    lines(directory)
        .into_iter()
        .map(parse)
        .map(|record: serde_json::Value| record["request"].as_str().unwrap().to_owned())
        .collect()
}

pub(crate) fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
