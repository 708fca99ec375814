//! A panic is one line of the log, and says nothing of what it stumbled over.

use std::process::Command;

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
        lethe::logging::start(&section).unwrap();
        panic!("room-of-alice-and-bob");
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "panics_are_logged_without_their_message"])
        .arg("--nocapture")
        .env(CHILD, "1")
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    let line = errors.lines().find(|line| line.contains("panic")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["level"], "ERROR");
    let location = line["fields"]["location"].as_str().unwrap();
    assert!(location.starts_with("tests/logging.rs:"), "{location}");
    assert!(!errors.contains("alice"), "{errors}");
}
