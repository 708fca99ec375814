//! Each attack of `make bench-attacks` for a second, so that none of them rots. Times do not count: the
//! machine that runs tests is busy.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

use std::path::Path;
use std::process::Command;

use lethe_testkit::built;
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_lethe-bench");

/// The service and its simulated HSM lie beside our own binary.
fn build() {
    let folder = Path::new(BINARY).parent().unwrap();
    built(folder, "lethe", "lethe");
    built(folder, "hsm-sim", "hsm-sim");
    built(folder, "hsm-sim-pkcs11", "libhsm_sim_pkcs11.so");
}

/// Tries them, and shows what came of each.
fn try_all(names: &[&str]) {
    build();
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(BINARY)
        .args(["attacks", "--seconds", "1", "--without-times", "--json"])
        .args(["--only", &names.join(","), "--work-dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let shown = serde_json::from_slice(&output.stdout);
    let outcomes: Vec<Value> = shown.unwrap_or_else(|error| panic!("{error}:\n{said}"));
    let tried = outcomes.iter().map(|it| it["name"].as_str().unwrap());
    assert_eq!(tried.collect::<Vec<_>>(), names);
    for outcome in &outcomes {
        let counts = outcome["gained"]["counts"].as_array().unwrap();
        assert!(!counts.is_empty(), "nothing was tried: {outcome:#}");
        assert!(
            outcome["before"]["answers"].as_u64() > Some(0),
            "{outcome:#}"
        );
        assert_eq!(outcome["gained"]["skipped"], Value::Null);
    }
    assert!(output.status.success(), "{said}\n{outcomes:#?}");
}

#[test]
fn who_is_nobody_or_may_nothing_harms_nobody() {
    try_all(&[
        "chains",
        "zero-window",
        "refusals",
        "cross-site",
        "idle-sockets",
    ]);
}

#[test]
fn who_has_a_grant_takes_nothing_from_others() {
    try_all(&[
        "endless-bodies",
        "shred-window",
        "bodies-under-way",
        "many-items",
    ]);
}

#[test]
fn one_operator_does_not_do_what_takes_two() {
    try_all(&[
        "erase-race",
        "minimum-version",
        "same-key",
        "longer-life",
        "withdrawn-grant",
    ]);
}

#[test]
fn the_rest_of_the_attacks_reaches_nothing() {
    try_all(&[
        "foreign-calls",
        "idle-http2",
        "control-frames",
        "receipts-link",
        "escape-sequences",
    ]);
}

#[test]
fn none_is_left_out_here() {
    let listed = Command::new(BINARY).args(["attacks", "--list"]).output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    let source = include_str!("attacks.rs");
    for line in listed.lines() {
        let name = line.split_whitespace().next().unwrap();
        assert!(source.contains(&format!("\"{name}\"")), "{name}");
    }
}

#[test]
fn an_unknown_attack_is_an_error() {
    let output = Command::new(BINARY)
        .args(["attacks", "--only", "none"])
        .output();
    let output = output.unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
}
