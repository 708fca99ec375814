use std::path::PathBuf;
use std::time::Duration;

use crate::support::Dev;
use crate::support::line::{Line, Protocol};

/// A client certificate of the development CA that ends so many seconds from now.
fn short_lived(dev: &Dev, seconds: i64) -> (PathBuf, jiff::Timestamp) {
    let read = |name: &str| std::fs::read_to_string(dev.pki().join(name)).unwrap();
    let key = rcgen::KeyPair::from_pem(&read("ca.key")).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&read("ca.crt"), key).unwrap();
    let end = jiff::Timestamp::now().as_second() + seconds;
    let mut params = rcgen::CertificateParams::default();
    params.not_after = time::OffsetDateTime::from_unix_timestamp(end).unwrap();
    let id = "spiffe://lethe.dev/message-server".try_into().unwrap();
    params.subject_alt_names = vec![rcgen::SanType::URI(id)];
    let key = rcgen::KeyPair::generate().unwrap();
    let signed = params.signed_by(&key, &issuer).unwrap();
    let path = dev.scratch().join("short");
    std::fs::write(path.with_extension("crt"), signed.pem()).unwrap();
    std::fs::write(path.with_extension("key"), key.serialize_pem()).unwrap();
    (path, jiff::Timestamp::from_second(end).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_ends_with_its_certificate() {
    let dev = Dev::start();
    let (certificate, end) = short_lived(&dev, 6);
    let mut silent = Line::open(&dev, &certificate, Protocol::Http1).await;
    let mut also_silent = Line::open(&dev, &certificate, Protocol::Http2).await;
    let mut busy = Line::open(&dev, &certificate, Protocol::Http2).await;
    let last = loop {
        let before = jiff::Timestamp::now();
        match busy.issue("chat").await {
            Some(201) => assert!(before < end, "served after its end"),
            // The very last one may hear why.
            Some(403) => assert!(jiff::Timestamp::now() >= end, "refused before its end"),
            None => break jiff::Timestamp::now(),
            other => panic!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(last >= end, "cut off before its end");
    silent.closed().await;
    also_silent.closed().await;
    assert!(jiff::Timestamp::now() >= end);
    assert_eq!(dev.metric("lethe_connections_cut_off_total").await, 3);
    assert!(
        Line::try_open(&dev, &certificate, Protocol::Http1)
            .await
            .is_none()
    );
}
