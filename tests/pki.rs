//! `lethe pki`, as users run it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use lethe::tls::{Peer, server_config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

const ID: &str = "spiffe://example.org/chat";

fn pki(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lethe"))
        .current_dir(folder)
        .args(["--output", "json", "pki"])
        .args(arguments)
        .output()
        .unwrap()
}

/// The files that it says it made.
fn made(folder: &Path, arguments: &[&str]) -> (String, String) {
    let output = pki(folder, arguments);
    assert!(output.status.success(), "{output:?}");
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let file = |name: &str| shown[name].as_str().unwrap().to_owned();
    (file("certificate"), file("key"))
}

fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = pki(folder, arguments);
    assert!(!output.status.success(), "{arguments:?}");
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn makes_what_the_service_accepts() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (authority, _) = made(folder, &["ca", "--out", "ca"]);
    let names = ["--server", "kms.example.org", "::1"];
    let issue = ["issue", "--ca", "ca", "--out", "kms.example.org"];
    let (server, key) = made(folder, &[&issue[..], &names].concat());
    assert_eq!(server, "kms.example.org.crt");
    let path = |name: &str| folder.join(name);
    server_config(&path(&server), &path(&key), &path(&authority)).unwrap();
    let issue = ["issue", "--ca", "ca", "--out", "chat", "--spiffe-id", ID];
    let (client, key) = made(folder, &issue);
    let certificate = CertificateDer::from_pem_file(path(&client)).unwrap();
    assert_eq!(Peer::of(&certificate).spiffe_id, ID.parse().ok());
    let mode = std::fs::metadata(path(&key)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn refuses_in_one_line_and_overwrites_no_authority() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    made(folder, &["ca", "--out", "ca"]);
    let before = std::fs::read(folder.join("ca/ca.key")).unwrap();
    let error = refused(folder, &["ca", "--out", "ca"]);
    assert_eq!(error.lines().count(), 1, "{error}");
    assert_eq!(std::fs::read(folder.join("ca/ca.key")).unwrap(), before);
    for arguments in [
        &["issue", "--ca", "ca", "--out", "x"][..],
        &["issue", "--ca", "ca", "--out", "x", "--spiffe-id", "chat"],
        &["issue", "--ca", "ca", "--out", "x", "--server", "a b"],
        &[
            "issue",
            "--ca",
            "ca",
            "--out",
            "x",
            "--days",
            "0",
            "--spiffe-id",
            ID,
        ],
        &[
            "issue",
            "--ca",
            "ca",
            "--out",
            "x",
            "--spiffe-id",
            ID,
            "--server",
            "a",
        ],
        &["issue", "--ca", "none", "--out", "x", "--spiffe-id", ID],
    ] {
        refused(folder, arguments);
        assert!(!folder.join("x.crt").exists() && !folder.join("x.key").exists());
    }
}
