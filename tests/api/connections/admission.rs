//! Whoever has no rights, or only his own, neither stops nor slows down others.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper::rt::Executor;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

use super::{cut_off, open, open_as};
use crate::support::approvals::records;
use crate::support::line::{Line, Protocol};
use crate::support::{Dev, Role, eventually, lethe};

fn with(limits: &str) -> Dev {
    Dev::start_with(|text| text + &format!("[limits]\n{limits}\n"))
}

/// A client that the CA knows and nobody granted anything.
fn stranger(dev: &Dev, id: &str) -> PathBuf {
    let path = dev.scratch().join("stranger");
    let made = lethe(&["pki", "issue", "--spiffe-id", id])
        .arg("--ca")
        .arg(dev.dir().join("pki"))
        .arg("--out")
        .arg(&path)
        .output();
    assert!(made.unwrap().status.success());
    path
}

const STRANGER: &str = "spiffe://lethe.dev/stranger";

/// A connection with as many requests as it takes, none of whose answers is read.
async fn unread(dev: &Dev, stream: TlsStream<TcpStream>, keyspace: &str) -> Vec<impl Send> {
    let made = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(0)
        .handshake(TokioIo::new(stream))
        .await;
    let (sender, connection) = made.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    let mut answers = Vec::new();
    for _ in 0..8 {
        let uri = format!("https://{}/v1/keyspaces/{keyspace}/data-keys", dev.listen);
        let request = hyper::Request::post(uri).header("content-type", "application/json");
        let body = Full::new(Bytes::from_static(br#"{"conversation":"room"}"#));
        let request = request.body(body).unwrap();
        // One that holds too many of them gets no more.
        if let Ok(answer) = sender.clone().send_request(request).await {
            answers.push((answer, sender.clone()));
        }
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_that_nobody_reads_take_no_place_of_a_client() {
    let dev = with("requests = 4\nstrangers = 64");
    let certificate = stranger(&dev, STRANGER);
    let api = dev.api(Role::MessageServer);
    let mut held = Vec::new();
    for _ in 0..5 {
        let stream = open_as(&dev, &certificate, b"h2").await;
        held.push(unread(&dev, stream, "chat").await);
        api.issue("chat", "room").await.ok(201);
    }
    // Nor do those of a client that may do other things, and whose requests were run before they were
    // refused: it has two of the four places.
    let stream = open(&dev, b"h2").await;
    let refusals = unread(&dev, stream, "nothing").await;
    assert_eq!(refusals.len(), 2, "as many answers as it may leave unread");
    api.issue("chat", "room").await.ok(201);
    dev.api(Role::Operator).get("/v1/status").await.ok(200);
    assert_eq!(dev.metric("lethe_requests_under_way").await, 0);
    drop((held, refusals));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_share_few_connections_and_the_newest_stays() {
    let dev = with("strangers = 4");
    let certificate = stranger(&dev, STRANGER);
    let mut old = Line::open(&dev, &certificate, Protocol::Http2).await;
    let mut good = Line::open(&dev, &dev.certificate(Role::MessageServer), Protocol::Http2).await;
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut new = Line::open(&dev, &certificate, Protocol::Http2).await;
        assert_eq!(new.issue("chat").await, Some(403));
        held.push(new);
        assert_eq!(good.issue("chat").await, Some(201));
    }
    assert_eq!(old.issue("chat").await, None);
    assert!(
        dev.metric("lethe_budget_exceeded_total{budget=\"strangers\"}")
            .await
            > 0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_opens_connections_and_says_nothing_keeps_nobody_out() {
    let dev = with("handshakes = 16");
    let mut silent = Vec::new();
    for number in 0..60 {
        let mut stream = TcpStream::connect(dev.listen).await.unwrap();
        if number % 2 == 0 {
            stream.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
        }
        silent.push(stream);
        if number % 10 == 0 {
            dev.api(Role::MessageServer)
                .issue("chat", "room")
                .await
                .ok(201);
        }
    }
    cut_off("the oldest", silent.remove(0)).await;
    eventually("the others are counted", async || {
        let held = dev.metric("lethe_budget_used{budget=\"handshakes\"}").await;
        (1..=9).contains(&held)
    })
    .await;
}

/// What hyper spawns for a client: the connection is open until all of it has ended.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.0.lock().spawn(task);
    }
}

impl Tasks {
    fn abort_all(&self) {
        self.0.lock().abort_all();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_end_counts_and_begins_nothing() {
    let dev = with("");
    let used = "lethe_budget_used{budget=\"body_bytes\"}";
    let stream = TokioIo::new(open(&dev, b"h2").await);
    let client = Tasks::default();
    let (sender, connection) = http2::handshake(client.clone(), stream).await.unwrap();
    client.execute(async move { drop(connection.await) });
    let mut waiting = Vec::new();
    for _ in 0..20 {
        // Goes on to its record when its client hangs up, once it has begun.
        let uri = format!("https://{}/v1/keyspaces/chat/shreds", dev.listen);
        let request = hyper::Request::post(uri)
            .header("content-type", "application/json")
            .header("content-length", "100000");
        let begin = futures_util::stream::once(async {
            Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"{")))
        });
        let never = futures_util::stream::pending();
        let body = StreamBody::new(futures_util::StreamExt::chain(begin, never));
        let request = request.body(BodyExt::boxed(body)).unwrap();
        let mut sender = sender.clone();
        waiting.push(tokio::spawn(async move {
            sender.send_request(request).await.is_ok()
        }));
    }
    eventually("they are counted", async || {
        dev.metric(used).await >= 20 * 100_000
    })
    .await;
    assert_eq!(dev.metric("lethe_requests_under_way").await, 0);
    client.abort_all();
    eventually("nothing is left of them", async || {
        dev.metric(used).await == 0
    })
    .await;
    // That they ended early may be on record.
    let mut begun = records(&dev, "shred");
    begun.retain(|it| it["outcome"] != "invalid_request");
    assert!(begun.is_empty(), "{begun:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_of_bodies_are_bounded_for_each_client() {
    let dev = with("body_bytes = 4194304");
    let mut open_bodies = Vec::new();
    for _ in 0..3 {
        let mut stream = open(&dev, b"http/1.1").await;
        let head = "POST /v1/keyspaces/chat/data-keys HTTP/1.1\r\nhost: localhost\r\n\
            content-type: application/json\r\ncontent-length: 1000000\r\n\r\n{";
        stream.write_all(head.as_bytes()).await.unwrap();
        open_bodies.push(stream);
    }
    let used = "lethe_budget_used{budget=\"body_bytes\"}";
    eventually("two are read", async || dev.metric(used).await > 2_000_000).await;
    eventually("one is refused", async || {
        let exceeded = "lethe_budget_exceeded_total{budget=\"body_bytes\"}";
        dev.metric(exceeded).await == 1
    })
    .await;
    assert!(dev.metric(used).await < 3_000_000);
    // There is room for small ones, and for others.
    dev.api(Role::MessageServer)
        .issue("chat", "room")
        .await
        .ok(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_very_many_refusals_the_number_is_on_record() {
    let mut dev = with("refusals = { per_second = 1, burst = 5 }");
    let long = format!("{STRANGER}/{}", "a".repeat(1_500));
    let certificate = stranger(&dev, &long);
    let mut refused = 0;
    let mut line = Line::open(&dev, &certificate, Protocol::Http1).await;
    refused += 1;
    for _ in 0..100 {
        assert_eq!(line.issue("chat").await, Some(403));
        refused += 1;
    }
    // Of a client with a grant too; its keys are all on record.
    let mut good = Line::open(&dev, &dev.certificate(Role::MessageServer), Protocol::Http1).await;
    for _ in 0..60 {
        assert_eq!(good.issue("nothing").await, Some(404));
        refused += 1;
        assert_eq!(good.issue("chat").await, Some(201));
    }
    assert_eq!(dev.metric("lethe_data_keys_total").await, 60);
    dev.stop();
    let audit = dev.audit();
    let records = audit
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let (mut one_by_one, mut counted, mut keys) = (0, 0, 0);
    for record in records.filter(|it| it["time_ms"].is_u64()) {
        match record["outcome"].as_str().unwrap() {
            "not_recorded" => counted += record["refused"].as_u64().unwrap(),
            "ok" => keys += record["keys"].as_array().unwrap().len(),
            _ => one_by_one += 1,
        }
        assert!(record["client"].as_str().unwrap().len() < 150, "{record}");
    }
    assert_eq!((one_by_one + counted, keys), (refused, 60));
    assert!(one_by_one < refused / 2, "{one_by_one} of {refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_endpoint_answers_is_counted() {
    let mut dev = Dev::start();
    let api = dev.api(Role::MessageServer);
    for _ in 0..3 {
        api.get("/v1/nothing").await.ok(404);
        api.delete("/v1/status").await.ok(405);
    }
    dev.stop();
    let counted = records(&dev, "refusals").into_iter();
    let counted: u64 = counted.filter_map(|it| it["refused"].as_u64()).sum();
    assert_eq!(counted, 6, "{}", dev.audit());
}
