//! Clients that are slow, or gone, or half gone, stand in nobody's way.

mod admission;

use std::path::Path;
use std::sync::Arc;

use crate::support::api::tls;
use crate::support::line::{Line, Protocol};
use crate::support::{Dev, Role, WAIT_LIMIT, eventually};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::version;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Few places and short timeouts, so that a test notices a client that is not cut off.
fn strict(text: String) -> String {
    let limits = "max_connections = 10\nheader_timeout = \"3s\"\nrequest_timeout = \"1s\"\n";
    text.replace("certificate =", &format!("{limits}certificate ="))
}

async fn open(dev: &Dev, protocol: &[u8]) -> TlsStream<TcpStream> {
    open_as(dev, &dev.dir().join("pki/message-server"), protocol).await
}

async fn open_as(dev: &Dev, certificate: &Path, protocol: &[u8]) -> TlsStream<TcpStream> {
    let mut config = tls(dev, Some(certificate), &[&version::TLS13]);
    config.alpn_protocols = vec![protocol.to_vec()];
    let tcp = TcpStream::connect(dev.listen).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    connector
        .connect("localhost".try_into().unwrap(), tcp)
        .await
        .unwrap()
}

/// Reads to the end that the server makes.
async fn cut_off(what: &str, mut stream: impl AsyncReadExt + Unpin) -> String {
    let mut said = Vec::new();
    let ended = tokio::time::timeout(WAIT_LIMIT, stream.read_to_end(&mut said)).await;
    assert!(ended.is_ok(), "{what} was not cut off");
    String::from_utf8_lossy(&said).into_owned()
}

const HEAD: &str = "POST /v1/keyspaces/chat/data-keys HTTP/1.1\r\nhost: localhost\r\n\
    content-type: application/json\r\ncontent-length: 1000\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_are_cut_off_and_block_nobody() {
    let dev = Dev::start_with(strict);
    let api = dev.api(Role::MessageServer);
    // Twice as many as one client may hold of them.
    for _ in 0..2 {
        let silent = TcpStream::connect(dev.listen).await.unwrap();
        let half_hello = {
            let mut stream = TcpStream::connect(dev.listen).await.unwrap();
            stream.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
            stream
        };
        let no_request = open(&dev, b"http/1.1").await;
        let mut half_head = open(&dev, b"http/1.1").await;
        half_head
            .write_all(b"GET /v1/status HTTP/1.1\r\nhost:")
            .await
            .unwrap();
        let mut half_body = open(&dev, b"http/1.1").await;
        half_body.write_all(HEAD.as_bytes()).await.unwrap();
        half_body.write_all(b"{\"conv").await.unwrap();

        // All that are not cut off are open, and the service answers.
        api.issue("chat", "room").await.ok(201);

        cut_off("a silent client", silent).await;
        cut_off("half a hello", half_hello).await;
        cut_off("no request", no_request).await;
        cut_off("half a head", half_head).await;
        let said = cut_off("half a body", half_body).await;
        assert!(said.is_empty() || said.contains("503"), "{said}");
    }
    api.issue("chat", "room").await.ok(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_http2_connection_is_cut_off() {
    let dev = Dev::start_with(strict);
    let api = dev.api(Role::MessageServer);
    api.issue("chat", "room").await.ok(201);
    let silent = open(&dev, b"h2").await;
    cut_off("no preface", silent).await;
    api.issue("chat", "room").await.ok(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_closed_connections_end() {
    let dev = Dev::start_with(strict);
    for text in ["", "GET /v1/st", HEAD] {
        let mut stream = open(&dev, b"http/1.1").await;
        stream.write_all(text.as_bytes()).await.unwrap();
        // No more will come, and the client still listens.
        stream.shutdown().await.unwrap();
        cut_off(text, stream).await;
    }
    // Whole requests before the half-close are answered, whether they take long or not.
    let get = "GET /v1/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned();
    let post = |path: &str| {
        format!(
            "POST /v1/keyspaces/chat/{path} HTTP/1.1\r\nhost: localhost\r\n\
             content-type: application/json\r\ncontent-length: 20\r\n\r\n{{\"conversation\":\"a\"}}"
        )
    };
    for (text, status) in [
        (get.clone(), "200"),
        (post("data-keys"), "201"),
        (get + &post("shreds"), "200"),
    ] {
        let mut stream = open(&dev, b"http/1.1").await;
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let said = cut_off(&text, stream).await;
        let answers = said.matches(&format!("HTTP/1.1 {status}")).count();
        assert_eq!(answers, text.matches("HTTP/1.1").count(), "{text} {said}");
    }
    let mut gone = Vec::new();
    for _ in 0..6 {
        gone.push(open(&dev, b"http/1.1").await);
    }
    eventually("they are counted", async || {
        dev.metric("lethe_connections").await >= 5
    })
    .await;
    drop(gone);
    eventually("their places are free", async || {
        dev.metric("lethe_connections").await == 0
    })
    .await;
    dev.api(Role::MessageServer)
        .issue("chat", "room")
        .await
        .ok(201);
}

/// A client that takes no more than this of an answer.
const TAKES: u32 = 1;
/// Half of what is there is for one client.
const UNREAD: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads_keep_their_place_until_the_connection_is_cut() {
    let dev = Dev::start_with(|text| {
        let few = format!("[limits]\nrequests = {}\n", 2 * UNREAD);
        strict(text).replace("header_timeout", "idle_timeout = \"3s\"\nheader_timeout") + &few
    });
    let stream = TokioIo::new(open(&dev, b"h2").await);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    let made = builder.initial_stream_window_size(TAKES).handshake(stream);
    let (sender, connection) = made.await.unwrap();
    let connection = tokio::spawn(connection);
    let mut unread = Vec::new();
    for _ in 0..UNREAD {
        let request = hyper::Request::get(format!("https://{}/v1/openapi.json", dev.listen));
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let answer = sender.clone().send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        unread.push(answer.into_body());
    }
    let api = dev.api(Role::MessageServer);
    let refused = api.issue("chat", "room").await;
    assert_eq!((refused.status, refused.code()), (503, "overloaded"));
    // Another client has a share of its own.
    dev.api(Role::Operator).get("/v1/status").await.ok(200);
    // Its client may ask on; that alone keeps it no more.
    let ended = tokio::time::timeout(WAIT_LIMIT, connection).await;
    assert!(ended.is_ok(), "the connection was not cut off");
    api.issue("chat", "room").await.ok(201);
    drop(unread);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_in_its_buffer_is_no_request_under_way_once_it_is_sent() {
    let dev = Dev::start_with(|text| text + "[limits]\nrequests = 1\n");
    for protocol in Protocol::BOTH {
        let certificate = dev.dir().join("pki/message-server");
        let mut line = Line::open(&dev, &certificate, protocol).await;
        for _ in 0..50 {
            assert_eq!(line.issue("chat").await, Some(201), "{protocol:?}");
        }
    }
}

/// More than a body may have, and more than fits into the buffers on its way.
const LARGE: usize = 8 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_a_large_body_before_it_listens_hears_the_refusal() {
    let dev = Dev::start();
    for path in ["/v1/keyspaces/chat/data-keys", "/v1/status", "/v1/nothing"] {
        let mut stream = open(&dev, b"http/1.1").await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {LARGE}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; LARGE]).await.unwrap();
        let mut said = [0; 12];
        stream.read_exact(&mut said).await.unwrap();
        let said = String::from_utf8_lossy(&said).into_owned();
        let expected = if path.ends_with("keys") { "413" } else { "40" };
        assert!(
            said.starts_with(&format!("HTTP/1.1 {expected}")),
            "{path} {said}"
        );
    }
}

/// A client that reused the connection would lose its next request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_says_whether_its_connection_goes_on() {
    let dev = Dev::start();
    let ended = [
        ("/v1/nothing", "content-length: 2\r\nexpect: 100-continue"),
        (
            "/v1/keyspaces/chat/data-keys",
            "content-length: 2\r\nexpect: 100-continue",
        ),
        ("/v1/keyspaces/chat/data-keys", "content-length: 99999999"),
    ];
    for (path, headers) in ended {
        let mut stream = open(&dev, b"http/1.1").await;
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let said = cut_off(path, stream).await.to_lowercase();
        assert!(said.starts_with("http/1.1 4"), "{said}");
        assert!(said.contains("connection: close"), "{said}");
        assert!(!said.contains("keep-alive"), "{said}");
    }
    let mut stream = open(&dev, b"http/1.1").await;
    let refused = "POST /v1/nothing HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}";
    let last = "GET /v1/nothing HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(refused.as_bytes()).await.unwrap();
    stream.write_all(last.as_bytes()).await.unwrap();
    let said = cut_off("a connection that goes on", stream).await;
    assert_eq!(said.matches("HTTP/1.1 404").count(), 2, "{said}");
    assert!(said.contains("keep-alive: timeout="), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_a_call_does_not_take_slow_down_no_later_call() {
    let dev = Dev::start();
    let body = " ".repeat(100_000);
    for protocol in Protocol::BOTH {
        let certificate = dev.dir().join("pki/operator");
        let mut line = Line::open(&dev, &certificate, protocol).await;
        for _ in 0..20 {
            let sent = line.send("GET", "/v1/status", &body);
            let answer = tokio::time::timeout(WAIT_LIMIT, sent).await;
            let answer = answer.expect("the connection is read slowly");
            assert_eq!(answer.map(|it| it.0), Some(200), "{protocol:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_too_large_is_refused_at_once() {
    let dev = Dev::start();
    let head = |lines: usize, bytes: usize, end: &str| {
        let line = format!("x-a: {}\r\n", "a".repeat(bytes));
        let host = "GET /v1/openapi.json HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
        host.to_owned() + &line.repeat(lines) + end
    };
    for (text, status) in [
        (head(1, 15 << 10, "\r\n"), "200"),
        (head(98, 10, "\r\n"), "200"),
        (head(1, 16 << 10, "\r\n"), "431"),
        (head(99, 10, "\r\n"), "431"),
        // Before it has ended.
        (head(4, 15_000, ""), "431"),
    ] {
        let mut stream = open(&dev, b"http/1.1").await;
        stream.write_all(text.as_bytes()).await.unwrap();
        let said = cut_off("a large head", stream).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_ends_an_http2_stream_without_an_error() {
    let dev = Dev::start();
    let stream = TokioIo::new(open(&dev, b"h2").await);
    let made = http2::handshake(TokioExecutor::new(), stream).await;
    let (sender, connection) = made.unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..10 {
        let uri = format!("https://{}/v1/keyspaces/chat/data-keys", dev.listen);
        let request = hyper::Request::post(uri).header("content-type", "application/json");
        let request = request
            .body(Full::new(Bytes::from(vec![b' '; LARGE])))
            .unwrap();
        let answer = sender.clone().send_request(request).await.unwrap();
        assert_eq!(answer.status(), 413);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains("too_large"));
    }
    drop(sender);
    connection.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_let_in_hears_why_whatever_it_has_sent_meanwhile() {
    let dev = Dev::start();
    for _ in 0..20 {
        let mut config = tls(&dev, None, &[&version::TLS13]);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let tcp = TcpStream::connect(dev.listen).await.unwrap();
        // The client thinks that its handshake is done before the server has looked at it.
        let connected = connector
            .connect("localhost".try_into().unwrap(), tcp)
            .into_fallible()
            .await;
        let (error, mut tcp) = match connected {
            Ok(mut stream) => {
                stream.write_all(&[0; 100_000]).await.unwrap();
                let error = stream.read_to_end(&mut Vec::new()).await.unwrap_err();
                (error, stream.into_inner().0)
            }
            Err(refused) => refused,
        };
        assert!(error.to_string().contains("CertificateRequired"), "{error}");
        // A reset could have come before the reason.
        tcp.write_all(&[0; 100_000]).await.unwrap();
        let ended = tcp.read_to_end(&mut Vec::new()).await;
        assert!(ended.is_ok(), "{ended:?}");
    }
}
