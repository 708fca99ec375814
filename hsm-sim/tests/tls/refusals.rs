use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use hsm_sim::tls::Server;
use hsm_sim::wire::{Request, send};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, version};

use super::device::{Device, call};
use super::pki::set_mode;

const OPEN: Request = Request::OpenSession { read_write: true };

#[test]
fn a_client_without_a_certificate() {
    let device = Device::start();
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(device.pki.path("ca.crt")).unwrap();
    roots.add(ca).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, device.tcp());
    assert!(call(&mut stream, &OPEN).is_err());
    assert_eq!(device.calls_and_sessions(), (0, 0));
}

#[test]
fn a_client_of_another_ca() {
    let device = Device::start();
    let refused = device
        .connect("stranger")
        .and_then(|mut stream| call(&mut stream, &OPEN));
    assert!(refused.is_err());
    assert_eq!(device.calls_and_sessions(), (0, 0));
    call(&mut device.connect("client").unwrap(), &OPEN).unwrap();
}

/// All that arrives until the daemon hangs up.
fn answer(mut stream: TcpStream, sent: &[u8]) -> Vec<u8> {
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    stream.write_all(sent).unwrap();
    let mut received = Vec::new();
    let mut buffer = [0; 256];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        received.extend_from_slice(&buffer[..length]);
    }
    received
}

#[test]
fn tls_1_2() {
    // A ClientHello that knows of no later version.
    let extensions = [
        &[0, 10, 0, 4, 0, 2, 0, 29][..], // groups: X25519
        &[0, 13, 0, 4, 0, 2, 4, 3],      // signatures: ECDSA with P-256
    ]
    .concat();
    let mut hello = vec![3, 3];
    hello.extend([9; 32]); // random
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0, 0, extensions.len() as u8]);
    hello.extend(extensions);
    let mut record = vec![
        22,
        3,
        1,
        0,
        hello.len() as u8 + 4,
        1,
        0,
        0,
        hello.len() as u8,
    ];
    record.extend(hello);
    let device = Device::start();
    // Alert, fatal: protocol version.
    assert_eq!(answer(device.tcp(), &record), [21, 3, 3, 0, 2, 2, 70]);
}

#[test]
fn plain_text() {
    let device = Device::start();
    let mut frame = Vec::new();
    send(&mut frame, &OPEN).unwrap();
    for text in [&b"GET / HTTP/1.1\r\n\r\n"[..], &frame] {
        let answer = answer(device.tcp(), text);
        // Nothing, or a record that is an alert.
        assert!(matches!(answer[..], [] | [21, ..]), "{answer:?}");
    }
    assert_eq!(device.calls_and_sessions(), (0, 0));
}

#[test]
fn a_daemon_that_is_not_the_one_expected() {
    let device = Device::start();
    let mut files = device.pki.files("client");
    let named = |name| Server::new(&device.address, Some(name), &files).unwrap();
    assert!(named("daemon").connect().is_ok());
    assert!(named("client").connect().is_err());
    files.ca = device.pki.path("other.crt");
    let other = Server::new(&device.address, None, &files).unwrap();
    assert!(other.connect().is_err());
}

#[test]
fn keys_that_everybody_may_read_and_files_that_hold_nothing() {
    let mut device = Device::start();
    device.kill();
    set_mode(&device.pki.path("client.key"), 0o604);
    set_mode(&device.pki.path("daemon.key"), 0o604);
    let refused = Server::new("a:1", None, &device.pki.files("client")).unwrap_err();
    assert!(refused.to_string().contains("client.key: every user may"));
    let mut files = device.pki.files("daemon");
    let fails = |files: &_, words: &str| {
        let output = device.another(files).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(words), "{error}");
    };
    fails(&files, "daemon.key: every user may read this key");
    set_mode(&files.key, 0o640);
    files.ca.clone_from(&files.key);
    fails(
        &files,
        "daemon.key: line 1: a block 'PRIVATE KEY' does not belong into this file",
    );
}

#[test]
fn options_that_are_incomplete() {
    for words in [&["--listen", "127.0.0.1:0"][..], &["--cert", "a"]] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hsm-sim"));
        let output = command
            .args(["serve", "--dir", "none"])
            .args(words)
            .output();
        assert_eq!(output.unwrap().status.code(), Some(2));
    }
}
