//! The control server and the load generator, as built, against each other.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_lethe-bench");

struct Control {
    child: Child,
    address: String,
    pki: TempDir,
}

impl Control {
    fn start(arguments: &[&str]) -> Self {
        let pki = TempDir::new().unwrap();
        let mut child = Command::new(BINARY)
            .args(["control", "--pki"])
            .arg(pki.path())
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("control ready https://").unwrap();
        let address = address.to_owned();
        Self {
            child,
            address,
            pki,
        }
    }

    fn load(&self, pki: &Path, arguments: &[&str]) -> Output {
        Command::new(BINARY)
            .args(["load", "--connections", "3", "--seconds", "1", "--pki"])
            .arg(pki)
            .args(["--address", &self.address])
            .args(["--pid", &self.child.id().to_string()])
            .args(arguments)
            .output()
            .unwrap()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn every_way_to_serve_answers_the_load() {
    for threads in ["shared", "hand-over", "reuseport"] {
        let control = Control::start(&["--threads", threads]);
        let output = control.load(control.pki.path(), &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{threads}: {said}");
        let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(figures["throughput"].as_f64().unwrap() > 0.0, "{figures}");
    }
}

#[test]
fn a_run_with_a_wrong_answer_fails() {
    let control = Control::start(&[]);
    let output = control.load(control.pki.path(), &["--body", ""]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("wrong answer: 400"), "{said}");
    assert!(output.stdout.is_empty(), "a failed run shows no figures");
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let (control, other) = (Control::start(&[]), Control::start(&[]));
    // Trusts the server, but shows a certificate of the other's authority.
    let mixed = TempDir::new().unwrap();
    let copy = |from: &Path, name| std::fs::copy(from.join(name), mixed.path().join(name)).unwrap();
    copy(control.pki.path(), "ca.crt");
    copy(other.pki.path(), "message-server.crt");
    copy(other.pki.path(), "message-server.key");
    let output = control.load(mixed.path(), &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("alert"), "{said}");
}

#[test]
fn a_result_that_nobody_reads_is_an_error_and_no_panic() {
    let full = || {
        std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    let run = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.arg("attacks").args(arguments).stdout(full());
        command
    };
    let output = run(&["--list"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("standard output: "), "{said}");
    let status = run(&["--only", "none"]).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(1));
}
