//! A process killed at any instant leaves every line that it answered for, and no torn one.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::common::{open, requests};
use lethe_core::ports::AuditSink;
use lethe_testkit::audit_contract::record;

const FOLDER: &str = "LETHE_AUDIT_KILLED";
const ACKNOWLEDGED: &str = "acknowledged ";
const CALLERS: usize = 4;

/// How many lines each caller has in the log, which must be its first ones in order.
fn counts(folder: &Path) -> [usize; CALLERS] {
    let mut counts = [0; CALLERS];
    for request in requests(folder) {
        let (caller, number) = request.split_once('-').unwrap();
        let count = &mut counts[caller.parse::<usize>().unwrap()];
        assert_eq!(number.parse(), Ok(*count), "lines of caller {caller}");
        *count += 1;
    }
    counts
}

/// The child's part: each caller appends its numbers and prints those that were answered.
#[tokio::test(flavor = "multi_thread")]
async fn child_appends_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let sink = Arc::new(open(Path::new(&folder), 8_192));
    let callers: Vec<_> = counts(Path::new(&folder))
        .into_iter()
        .enumerate()
        .map(|(caller, first)| {
            let sink = Arc::clone(&sink);
            tokio::spawn(async move {
                for number in first.. {
                    let request = format!("{caller}-{number}");
                    sink.append(record(&request)).await.unwrap();
                    println!("\n{ACKNOWLEDGED}{request}");
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
}

#[test]
fn what_was_answered_is_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut answered = [0; CALLERS];
    for round in 1..=5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "kill::child_appends_until_it_is_killed",
                "--nocapture",
            ])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = lines
            .map_while(Result::ok)
            .filter_map(|line| Some(line.strip_prefix(ACKNOWLEDGED)?.to_owned()));
        let first: Vec<_> = said.by_ref().take(round * 37).collect();
        assert_eq!(first.len(), round * 37);
        child.kill().unwrap();
        child.wait().unwrap();
        for request in first.into_iter().chain(said) {
            let (caller, number) = request.split_once('-').unwrap();
            // The last thing said may be cut off.
            if let (Ok(caller), Ok(number)) = (caller.parse::<usize>(), number.parse::<usize>()) {
                answered[caller] = answered[caller].max(number + 1);
            }
        }
        // The next start repairs; what a reader finds must be whole after it.
        drop(open(folder.path(), 8_192));
        for (found, answered) in counts(folder.path()).iter().zip(answered) {
            assert!(*found >= answered, "{found} lines, {answered} answered");
        }
    }
}
