//! The transport: TLS, retries, cut connections, one connection for many calls.

use std::time::Duration;

use crate::support::{Pki, Say, Service, Who};
use http::Version;
use lethe_client::{
    CacheLimits, Client, ConfigError, Context, Error, ErrorCode, Messages, TransportKind,
};
use rustls::HandshakeKind;
use serde_json::{Value, json};

fn ok() -> Say {
    Say::Json(200, json!({"ready": true}))
}

fn busy() -> Say {
    Say::Json(503, json!({"code": "overloaded", "detail": "later"}))
}

fn kind(error: &Error) -> Option<TransportKind> {
    match error {
        Error::Transport(transport) => Some(transport.kind),
        _ => None,
    }
}

#[tokio::test]
async fn many_calls_share_a_connection_over_either_http() {
    for (protocol, version) in [("h2", Version::HTTP_2), ("http/1.1", Version::HTTP_11)] {
        let service = Service::with_protocols(&[protocol], (0..5).map(|_| ok())).await;
        let client = service.client();
        for _ in 0..5 {
            client.clone().status().await.unwrap();
        }
        assert_eq!(service.handshakes().len(), 1, "{protocol}");
        assert!(service.asked().iter().all(|asked| asked.version == version));
    }
}

#[tokio::test]
async fn no_connection_resumes_the_session_of_an_earlier_one() {
    let service = Service::with_protocols(&["http/1.1"], [ok(), Say::Cut, ok()]).await;
    let client = service.client();
    client.status().await.unwrap();
    client.status().await.unwrap();
    assert_eq!(service.handshakes(), [HandshakeKind::Full; 2]);
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let quota = Say::Header(429, ("retry-after", "0"), json!({"code": "quota_exceeded"}));
    for script in [
        vec![Say::Cut, ok()],
        vec![Say::CutBody, ok()],
        vec![busy(), quota, Say::Text(503, "<html>"), ok()],
    ] {
        let attempts = script.len();
        let service = Service::saying(script).await;
        service.client().status().await.unwrap();
        assert_eq!(service.asked().len(), attempts);
    }
}

#[tokio::test]
async fn it_gives_up_and_says_why() {
    let service = Service::saying((0..9).map(|_| busy())).await;
    let error = service.client().status().await.unwrap_err();
    assert_eq!(error.code(), Some(&ErrorCode::Overloaded));
    assert_eq!(service.asked().len(), 4);

    let service = Service::saying((0..9).map(|_| Say::Cut)).await;
    let error = service.client().status().await.unwrap_err();
    assert_eq!(kind(&error), Some(TransportKind::Interrupted));
    assert_eq!(service.asked().len(), 4);
}

#[tokio::test]
async fn a_pause_longer_than_the_call_ends_it_at_once() {
    let later = Say::Header(
        503,
        ("retry-after", "3600"),
        json!({"code": "hsm_unavailable"}),
    );
    let service = Service::saying([later, ok()]).await;
    let Error::Service(problem) = service.client().status().await.unwrap_err() else {
        panic!("it answered");
    };
    assert_eq!(problem.retry_after, Some(Duration::from_secs(3600)));
    assert_eq!(service.asked().len(), 1);
}

#[tokio::test]
async fn refusals_are_final() {
    for status in [400, 403, 404, 405, 409, 410, 413, 415, 500, 501] {
        let service = Service::saying([Say::Json(status, json!({"code": "x"})), ok()]).await;
        service.client().status().await.unwrap_err();
        assert_eq!(service.asked().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let away = Say::Header(307, ("location", "https://127.0.0.1:1/"), json!({}));
    let service = Service::saying([away, ok()]).await;
    let error = service.client().status().await.unwrap_err();
    assert_eq!(error.code().unwrap().as_str(), "http_307");
}

#[tokio::test]
async fn no_service_and_a_silent_one() {
    let service = Service::saying([Say::Hang]).await;
    let mut config = service.config();
    config.retries.attempts = 1;
    config.timeouts.attempt = Duration::from_millis(50);
    let error = Client::new(&config).unwrap().status().await.unwrap_err();
    assert_eq!(kind(&error), Some(TransportKind::Timeout));

    config.server = "https://127.0.0.1:1".into();
    let error = Client::new(&config).unwrap().status().await.unwrap_err();
    assert_eq!(kind(&error), Some(TransportKind::Connect));
}

#[tokio::test]
async fn strangers_on_either_side_are_refused_and_not_tried_again() {
    let service = Service::saying([ok()]).await;
    let mut config = service.config();
    config.certificate = service.pki.certificate(Who::Stranger);
    config.key = service.pki.key(Who::Stranger);
    let error = Client::new(&config).unwrap().status().await.unwrap_err();
    assert_eq!(kind(&error), Some(TransportKind::Tls), "{error}");

    let foreign = Pki::new();
    let mut config = service.config();
    config.ca = foreign.ca();
    let error = Client::new(&config).unwrap().status().await.unwrap_err();
    assert_eq!(kind(&error), Some(TransportKind::Tls), "{error}");
    assert!(service.asked().is_empty());
}

#[tokio::test]
async fn bad_files_are_named() {
    let service = Service::saying([]).await;
    let cases: [fn(&mut lethe_client::ClientConfig); 4] = [
        |config| config.ca = "/nowhere/ca.crt".into(),
        |config| config.ca = config.key.clone(),
        |config| config.certificate = config.key.clone(),
        |config| config.key = config.certificate.clone(),
    ];
    for case in cases {
        let mut config = service.config();
        case(&mut config);
        let error = Client::new(&config).unwrap_err();
        assert!(matches!(error, ConfigError::File { .. }), "{error}");
    }
    let mut config = service.config();
    config.key = service.pki.key(Who::Stranger);
    let error = Client::new(&config).unwrap_err();
    assert!(matches!(error, ConfigError::Tls(_)), "{error}");
}

/// A key that may be kept for five minutes from the first moment of 2026 on.
fn issued_long_ago() -> Value {
    json!({
        "conversation": "c", "data_key": "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=",
        "wrapped_key": "lethe:v1:BBBB", "version": 1, "use_until": "2026-01-01T01:00:00Z",
        "cache_until": "2026-01-01T00:05:00Z", "expires_at": "2026-01-04T01:00:00Z",
    })
}

/// Whatever the wall clock of this machine shows, which is another year.
#[tokio::test]
async fn leases_end_by_the_time_of_the_service() {
    for (first, ended) in [
        (
            ("lethe-time", "1767225600000"),
            ("lethe-time", "1767225900000"),
        ),
        (
            ("date", "Thu, 01 Jan 2026 00:00:00 GMT"),
            ("date", "Thu, 01 Jan 2026 00:05:00 GMT"),
        ),
    ] {
        let keyspace = || {
            json!({"name": "chat", "retention": "72h", "granularity": "1h",
            "rotation": "30d", "cache_ttl": "5m"})
        };
        let service = Service::saying([
            Say::Header(201, first, issued_long_ago()),
            Say::Header(200, ended, keyspace()),
            Say::Header(201, ended, issued_long_ago()),
        ])
        .await;
        let messages = Messages::new(service.client(), CacheLimits::default());
        let context = Context {
            keyspace: "chat".parse().unwrap(),
            conversation: "c".parse().unwrap(),
            message_id: "1".parse().unwrap(),
        };
        for _ in 0..3 {
            messages.seal(&context, b"text").await.unwrap();
        }
        assert_eq!(service.asked().len(), 1, "the lease goes on: {first:?}");
        let client = messages.source();
        client.keyspace(&context.keyspace).await.unwrap();
        messages.seal(&context, b"text").await.unwrap();
        assert_eq!(service.asked().len(), 3, "the lease has ended: {ended:?}");
    }
}
