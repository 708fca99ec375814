//! The log keeps secrets to itself, and nobody who runs the service has to read it.

use std::io::{Read, Write};
use std::process::Stdio;

use crate::support::this_test;
use lethe::config::{LogFormat, LogSection};

const CHILD: &str = "LETHE_TEST_PANICS";

/// Runs this test again as a child of its own: logging and the panic hook belong to a process.
#[test]
fn panics_are_logged_without_their_message() {
    if std::env::var_os(CHILD).is_some() {
        let section = LogSection {
            format: LogFormat::Json,
            ..LogSection::default()
        };
        lethe::observability::logging::start(&section).unwrap();
        panic!("room-of-alice-and-bob");
    }
    let output = this_test(module_path!(), "panics_are_logged_without_their_message")
        .env(CHILD, "1")
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    let line = errors.lines().find(|line| line.contains("panic")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["level"], "ERROR");
    let location = line["fields"]["location"].as_str().unwrap();
    assert!(
        location.starts_with("tests/operations/logging.rs:"),
        "{location}"
    );
    assert!(!errors.contains("alice"), "{errors}");
}

#[test]
fn a_log_that_nobody_reads_any_more_ends_nothing() {
    if std::env::var_os(CHILD).is_some() {
        lethe::observability::logging::start(&LogSection::default()).unwrap();
        // Until the reader is gone.
        let mut wait = String::new();
        std::io::stdin().read_to_string(&mut wait).unwrap();
        tracing::error!("into the void");
        std::process::exit(7);
    }
    let test = "a_log_that_nobody_reads_any_more_ends_nothing";
    let mut child = this_test(module_path!(), test)
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    child.stdin.take().unwrap().write_all(b"go").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));
}
