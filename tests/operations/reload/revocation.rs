use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::line::{Line, Protocol};
use crate::support::{Dev, Role, eventually, pki};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_client_is_cut_off_and_nobody_else() {
    let dev = Dev::start_with_crl();
    let ca = dev.pki();
    let stolen = pki::client(&ca, &dev.scratch().join("stolen"), "message-server");
    let mut others = Vec::new();
    let mut lines = Vec::new();
    for protocol in Protocol::BOTH {
        let own = dev.certificate(Role::MessageServer);
        others.push(Line::open(&dev, &own, protocol).await);
        // One that speaks, and one that is silent.
        for _ in 0..2 {
            let mut line = Line::open(&dev, &stolen, protocol).await;
            assert_eq!(line.issue("chat").await, Some(201));
            lines.push(line);
        }
    }
    let older = std::fs::read(ca.join("ca.crl")).unwrap();
    dev.reload(|| pki::revoke(&ca, &[&stolen])).await;
    for line in &mut lines {
        line.closed().await;
        assert_eq!(line.issue("chat").await, None);
    }
    for protocol in Protocol::BOTH {
        assert!(Line::try_open(&dev, &stolen, protocol).await.is_none());
    }
    assert_eq!(dev.metric("lethe_connections_cut_off_total").await, 4);
    assert!(dev.log().contains("Revoked"), "{}", dev.log());
    for line in &mut others {
        assert_eq!(line.issue("chat").await, Some(201));
        assert!(line.is_open());
    }
    // The list from before takes nothing back.
    let log = dev.refuses(|| pki::put(&ca.join("ca.crl"), &older)).await;
    assert!(log.contains("is older than the one before it"), "{log}");
    assert!(
        Line::try_open(&dev, &stolen, Protocol::Http2)
            .await
            .is_none()
    );
    // The same client with a new certificate.
    let fresh = pki::client(&ca, &dev.scratch().join("fresh"), "message-server");
    Line::open(&dev, &fresh, Protocol::Http2).await;
    assert!(dev.metric("lethe_crl_left_seconds").await > 86_400 * 29);
}

/// Requests come one behind the other while the list is put in force: once it is, none is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_leaves_once_the_list_is_in_force() {
    let dev = Dev::start_with_crl();
    let ca = dev.pki();
    let stolen = pki::client(&ca, &dev.scratch().join("stolen"), "message-server");
    let mut line = Line::open(&dev, &stolen, Protocol::Http2).await;
    let served = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&served);
    let drain = tokio::spawn(async move {
        let mut answers = Vec::new();
        while let Some(status) = line.issue("chat").await {
            answers.push(status);
            counted.fetch_add(1, Ordering::Relaxed);
        }
        answers
    });
    eventually("some are served", async || {
        served.load(Ordering::Relaxed) > 10
    })
    .await;
    dev.reload(|| pki::revoke(&ca, &[&stolen])).await;
    let answers = tokio::time::timeout(Duration::from_secs(10), drain);
    let answers = answers.await.unwrap().unwrap();
    // The last one may still have been told why.
    let refused = answers.iter().position(|status| *status != 201);
    assert!(answers.len() > 10, "{answers:?}");
    assert!(
        refused.is_none_or(|at| at + 1 == answers.len() && answers[at] == 403),
        "{answers:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_ends_refuses_all_or_nobody_as_configured() {
    let dev = Dev::start_with_crl();
    let certificate = dev.certificate(Role::MessageServer);
    let mut lines = Vec::new();
    for protocol in Protocol::BOTH {
        lines.push(Line::open(&dev, &certificate, protocol).await);
    }
    dev.reload(|| short_list(&dev, 6)).await;
    for line in &mut lines {
        assert_eq!(line.issue("chat").await, Some(201));
    }
    for line in &mut lines {
        line.closed().await;
    }
    assert!(
        Line::try_open(&dev, &certificate, Protocol::Http1)
            .await
            .is_none()
    );
    assert!(dev.log().contains("a revocation list has expired"));
    // One that has ended already is not taken, unless the configuration says so.
    let log = dev.refuses(|| short_list(&dev, -1)).await;
    assert!(log.contains("ca.crl: has expired"), "{log}");
    dev.reload(|| {
        dev.configure(|text| {
            text.replace("client_crls =", "expired_crls = \"accept\"\nclient_crls =")
        });
    })
    .await;
    let mut line = Line::open(&dev, &certificate, Protocol::Http1).await;
    // A newer list brings the rest back to order.
    dev.reload(|| {
        short_list(&dev, 86_400);
        dev.configure(|text| text.replace("expired_crls = \"accept\"\n", ""));
    })
    .await;
    assert_eq!(line.issue("chat").await, Some(201));
}

/// A list of the development CA that ends so many seconds from now.
fn short_list(dev: &Dev, seconds: i64) {
    let read = |name: &str| std::fs::read_to_string(dev.pki().join(name)).unwrap();
    let key = rcgen::KeyPair::from_pem(&read("ca.key")).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&read("ca.crt"), key).unwrap();
    let now = jiff::Timestamp::now().as_second();
    let time = |at: i64| time::OffsetDateTime::from_unix_timestamp(at).unwrap();
    let list = rcgen::CertificateRevocationListParams {
        this_update: time(now - 60),
        next_update: time(now + seconds),
        crl_number: 7.into(),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&issuer).unwrap();
    // DER, for once.
    pki::put(&dev.pki().join("ca.crl"), list.der());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_no_ca_stands_for_any_more_is_cut_off() {
    let dev = Dev::start();
    let other = dev.scratch().join("other");
    pki::authority(&other, "Other CA");
    let both = [dev.pki().join("ca.crt"), other.join("ca.crt")];
    let bundle = both
        .map(|path| std::fs::read_to_string(path).unwrap())
        .concat();
    let alone = std::fs::read(dev.pki().join("ca.crt")).unwrap();
    let clients = dev.pki().join("clients.crt");
    std::fs::write(&clients, &bundle).unwrap();
    dev.reload(|| {
        dev.configure(|text| {
            text.replace(
                "client_ca = \"pki/ca.crt\"",
                "client_ca = \"pki/clients.crt\"",
            )
        });
    })
    .await;
    let theirs = pki::client(&other, &dev.scratch().join("theirs"), "message-server");
    let mut lines = Vec::new();
    for protocol in Protocol::BOTH {
        lines.push(Line::open(&dev, &theirs, protocol).await);
    }
    let mut own = Line::open(&dev, &dev.certificate(Role::Operator), Protocol::Http2).await;
    dev.reload(|| pki::put(&clients, &alone)).await;
    for line in &mut lines {
        line.closed().await;
    }
    assert_eq!(own.get("/v1/status").await.unwrap().0, 200);
    eventually("they are gone", async || {
        dev.metric("lethe_connections").await == 1
    })
    .await;
}
