//! Who gets in. Who may do what is tested in `src/http/tests/access.rs`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::support::api::tls;
use crate::support::{Api, Dev, lethe, refused};
use rcgen::{CertificateParams, Issuer, KeyPair, SanType, date_time_ymd};
use reqwest::Method;
use rustls::client::Resumption;
use rustls::{HandshakeKind, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A certificate of the development CA with what `lethe pki` refuses to make.
fn certificate(dev: &Dev, name: &str, edit: impl Fn(&mut CertificateParams)) -> PathBuf {
    let read = |name: &str| std::fs::read_to_string(dev.dir().join("pki").join(name)).unwrap();
    let authority = KeyPair::from_pem(&read("ca.key")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&read("ca.crt"), authority).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    edit(&mut params);
    let key = KeyPair::generate().unwrap();
    let signed = params.signed_by(&key, &issuer).unwrap();
    let path = dev.scratch().join(name);
    std::fs::write(path.with_extension("crt"), signed.pem()).unwrap();
    std::fs::write(path.with_extension("key"), key.serialize_pem()).unwrap();
    path
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// By `lethe pki issue`.
fn issue(ca: &Path, out: &Path, spiffe_id: &str) {
    let mut command = lethe(&["pki", "issue", "--spiffe-id", spiffe_id]);
    let output = command.arg("--ca").arg(ca).arg("--out").arg(out).output();
    assert!(output.unwrap().status.success());
}

async fn no_tls(api: &Api) {
    let answer = api.raw(Method::GET, "/v1/openapi.json", None, "").await;
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_do_not_get_through_tls() {
    let dev = Dev::start();
    no_tls(&Api::with(&dev, tls(&dev, None, &[&version::TLS13]))).await;

    let expired = certificate(&dev, "expired", |params| {
        params.subject_alt_names = vec![uri("spiffe://lethe.dev/operator")];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    no_tls(&Api::new(&dev, &expired)).await;
    let early = certificate(&dev, "early", |params| {
        params.subject_alt_names = vec![uri("spiffe://lethe.dev/operator")];
        params.not_before = date_time_ymd(2090, 1, 1);
        params.not_after = date_time_ymd(2091, 1, 1);
    });
    no_tls(&Api::new(&dev, &early)).await;

    let other = dev.scratch().join("other");
    let made = lethe(&["pki", "ca", "--name", "Lethe development CA"])
        .arg("--out")
        .arg(&other)
        .output();
    assert!(made.unwrap().status.success());
    let foreign = dev.scratch().join("foreign");
    issue(&other, &foreign, "spiffe://lethe.dev/operator");
    no_tls(&Api::new(&dev, &foreign)).await;

    // The server's own certificate is not one for clients.
    no_tls(&Api::new(&dev, &dev.dir().join("pki/server"))).await;

    let operator = dev.dir().join("pki/operator");
    let old = tls(&dev, Some(&operator), &[&version::TLS12]);
    no_tls(&Api::with(&dev, old)).await;
    // The same certificate with TLS 1.3 gets in: nothing else was wrong.
    Api::new(&dev, &operator)
        .get("/v1/openapi.json")
        .await
        .ok(200);
    assert!(!dev.audit().contains("\"outcome\":\"forbidden\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_without_one_known_spiffe_id_may_do_nothing() {
    let dev = Dev::start();
    let known = "spiffe://lethe.dev/operator";
    let names: [(&str, Vec<SanType>); 5] = [
        ("none", vec![]),
        (
            "dns",
            vec![SanType::DnsName("operator".try_into().unwrap())],
        ),
        ("url", vec![uri("https://lethe.dev/operator")]),
        ("two", vec![uri(known), uri("spiffe://lethe.dev/auditor")]),
        ("stranger", vec![uri("spiffe://lethe.dev/stranger")]),
    ];
    for (name, sans) in names {
        let path = certificate(&dev, name, |params| {
            params.subject_alt_names = sans.clone();
            // Common names are not looked at.
            params
                .distinguished_name
                .push(rcgen::DnType::CommonName, known);
        });
        let answer = Api::new(&dev, &path).get("/v1/status").await;
        refused(&answer, 403, "forbidden");
    }
    let path = dev.scratch().join("by-pki");
    issue(&dev.dir().join("pki"), &path, known);
    Api::new(&dev, &path).get("/v1/status").await.ok(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_is_resumed() {
    let dev = Dev::start();
    let operator = dev.dir().join("pki/operator");
    let mut config = tls(&dev, Some(&operator), &[&version::TLS13]);
    config.resumption = Resumption::in_memory_sessions(16);
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    for _ in 0..3 {
        let tcp = tokio::net::TcpStream::connect(dev.listen).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let mut stream = connector.connect(name, tcp).await.unwrap();
        let request = b"GET /v1/status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        // The server may close the connection without a word of TLS.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.starts_with(b"HTTP/1.1 200"));
        let connection = stream.get_ref().1;
        // Asked for its hybrid key share first, as a client that prefers a classical one is.
        let kind = connection.handshake_kind();
        assert!(
            matches!(
                kind,
                Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest)
            ),
            "{kind:?}"
        );
        assert_eq!(connection.tls13_tickets_received(), 0);
    }
}
