//! `lethe pki`, as users run it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use lethe::config::ExpiredCrls;
use lethe::identity::tls::{Clients, Peer, server_config};
use lethe::node::clock::SystemClock;
use lethe_core::ports::Clock;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

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
    let now = SystemClock.now();
    let clients = Clients::load(&path(&authority), &[], ExpiredCrls::Refuse, now).unwrap();
    let key_exchange = lethe_tls::KeyExchange::default();
    server_config(&path(&server), &path(&key), clients.into(), key_exchange).unwrap();
    let issue = ["issue", "--ca", "ca", "--out", "chat", "--spiffe-id", ID];
    let (client, key) = made(folder, &issue);
    let certificate = CertificateDer::from_pem_file(path(&client)).unwrap();
    assert_eq!(
        Peer::from_certificate(&certificate).spiffe_id,
        ID.parse().ok()
    );
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

#[test]
fn revokes_what_the_authority_has_signed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for ca in ["ca", "other"] {
        made(folder, &["ca", "--out", ca]);
        let client = format!("{ca}-client");
        made(
            folder,
            &["issue", "--ca", ca, "--out", &client, "--spiffe-id", ID],
        );
    }
    let revoke = |words: &[&str]| {
        let output = pki(folder, &[&["revoke", "--ca", "ca"], words].concat());
        assert!(output.status.success(), "{output:?}");
        let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(shown["revocation_list"], "ca/ca.crl");
        list(&folder.join("ca/ca.crl"))
    };
    assert_eq!(revoke(&["--days", "7"]), (1, 0, 7));
    assert_eq!(revoke(&["ca-client.crt"]), (2, 1, 30));
    assert_eq!(revoke(&["ca-client.crt"]), (3, 1, 30));
    assert_eq!(revoke(&[]), (4, 1, 30));

    let before = std::fs::read(folder.join("ca/ca.crl")).unwrap();
    for bad in ["other-client.crt", "none.crt", "ca-client.key"] {
        let error = refused(folder, &["revoke", "--ca", "ca", "ca-client.crt", bad]);
        assert!(error.contains(bad) && error.lines().count() == 1, "{error}");
        assert_eq!(std::fs::read(folder.join("ca/ca.crl")).unwrap(), before);
    }
    // Of two certificates in a file the second would be left out.
    let one = std::fs::read_to_string(folder.join("ca-client.crt")).unwrap();
    std::fs::write(folder.join("two.crt"), format!("{one}{one}")).unwrap();
    let error = refused(folder, &["revoke", "--ca", "ca", "two.crt"]);
    assert!(error.contains("two.crt: holds 2"), "{error}");
    std::fs::write(folder.join("glued.crt"), one.trim_end().repeat(2)).unwrap();
    let error = refused(folder, &["revoke", "--ca", "ca", "glued.crt"]);
    assert!(error.contains("looks like the begin or end"), "{error}");
    // Nor is a list taken over that somebody else has signed.
    std::fs::copy(folder.join("ca/ca.crl"), folder.join("other/ca.crl")).unwrap();
    let error = refused(folder, &["revoke", "--ca", "other"]);
    assert!(error.contains("other/ca.crl was not signed"), "{error}");
}

/// Number, certificates and days of a list.
fn list(path: &Path) -> (u64, usize, i64) {
    let bytes = std::fs::read(path).unwrap();
    let pem = x509_parser::pem::parse_x509_pem(&bytes).unwrap().1;
    let list = CertificateRevocationList::from_der(&pem.contents)
        .unwrap()
        .1;
    let life = list.next_update().unwrap().timestamp() - list.last_update().timestamp();
    let number = u64::try_from(list.crl_number().unwrap()).unwrap();
    (
        number,
        list.iter_revoked_certificates().count(),
        life / 86_400,
    )
}
