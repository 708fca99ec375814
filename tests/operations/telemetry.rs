//! Traces: what a collector gets to see, and what it never does.

use std::collections::BTreeMap;

use crate::support::api::Answer;
use crate::support::collector::{Collector, attributes, hex, traced};
use crate::support::{Api, Role, eventually};
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

const KEYS: &str = "/v1/keyspaces/chat/data-keys";
const UNWRAP: &str = "/v1/keyspaces/chat/data-keys/unwrap";
const SHREDS: &str = "/v1/keyspaces/chat/shreds";
const CALLER: &str = "b7ad6b7169203331";

/// A call that says whose work it is part of.
async fn call(api: &Api, path: &str, body: &Value, parent: &str) -> Answer {
    let request = api.request(Method::POST, path);
    let request = request.header("content-type", "application/json");
    let request = request.header("traceparent", parent);
    Answer::of(request.body(body.to_string()).send().await.unwrap()).await
}

fn sampled(trace: &str) -> String {
    format!("00-{trace}-{CALLER}-01")
}

/// The span of the request itself, once all of its trace is there.
async fn server_span(collector: &Collector, trace: &str) -> Span {
    let is_server = |span: &Span| span.kind() == SpanKind::Server;
    eventually(trace, async || {
        // It ends last.
        collector.trace(trace).iter().any(is_server)
    })
    .await;
    collector.trace(trace).into_iter().find(is_server).unwrap()
}

/// The names of what is directly below a span.
fn parts(collector: &Collector, of: &Span) -> Vec<String> {
    let mut spans = collector.trace(&hex(&of.trace_id));
    spans.retain(|span| span.parent_span_id == of.span_id);
    for span in &spans {
        assert!(of.start_time_unix_nano <= span.start_time_unix_nano);
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
        assert!(span.end_time_unix_nano <= of.end_time_unix_nano);
    }
    spans.into_iter().map(|span| span.name).collect()
}

fn expected(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    pairs.iter().map(owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_follow_their_requests() {
    let collector = Collector::start().await;
    let dev = traced(
        collector.address,
        "sample_ratio = 0\nservice_name = \"keys of chat\"",
    );
    let api = dev.api(Role::MessageServer);
    // What nobody asked to trace.
    let room = json!({ "conversation": "room" });
    api.post(KEYS, &room).await.ok(201);
    let unasked = "00000000000000000000000000000077";
    let not_sampled = format!("00-{unasked}-{CALLER}-00");
    call(&api, KEYS, &room, &not_sampled).await.ok(201);
    for malformed in ["-1", "-01-", "-0x"] {
        let parent = sampled(unasked).replace("-01", malformed);
        call(&api, KEYS, &room, &parent).await.ok(201);
    }

    let [issue, unwrap, refused, shred] = [1, 2, 3, 4].map(|number| format!("{number:032x}"));
    let issued = call(&api, KEYS, &room, &sampled(&issue)).await.ok(201);
    let opened = json!({ "conversation": "room", "wrapped_key": issued["wrapped_key"] });
    call(&api, UNWRAP, &opened, &sampled(&unwrap)).await.ok(200);
    let mut wrong = opened.clone();
    wrong["conversation"] = json!("another room");
    let items = json!({ "items": [wrong, opened] });
    let answer = call(&api, UNWRAP, &wrong, &sampled(&refused)).await;
    crate::support::refused(&answer, 400, "invalid_wrapped_key");
    let many = format!("{:032x}", 5);
    call(&api, UNWRAP, &items, &sampled(&many)).await.ok(200);
    call(&api, SHREDS, &room, &sampled(&shred)).await.ok(200);

    for (trace, path, status, code, items, below) in [
        (&issue, KEYS, "201", "ok", Some("1"), &["audit record"][..]),
        (&unwrap, UNWRAP, "200", "ok", Some("1"), &["audit record"]),
        (
            &refused,
            UNWRAP,
            "400",
            "invalid_wrapped_key",
            None,
            &["audit record"],
        ),
        (&many, UNWRAP, "200", "ok", Some("2"), &["audit record"]),
        (
            &shred,
            SHREDS,
            "200",
            "ok",
            Some("1"),
            &["accept", "wait for batches", "audit record"],
        ),
    ] {
        let span = server_span(&collector, trace).await;
        let route = path.replace("chat", "{keyspace}");
        assert_eq!(span.name, format!("POST {route}"));
        assert_eq!(hex(&span.parent_span_id), CALLER);
        let mut said = expected(&[
            ("http.request.method", "POST"),
            ("http.response.status_code", status),
            ("http.route", &route),
            ("lethe.code", code),
            ("url.scheme", "https"),
        ]);
        said.extend(items.map(|items| ("lethe.items".to_owned(), items.to_owned())));
        assert_eq!(attributes(&span.attributes), said);
        assert_eq!(span.status.clone().unwrap().code(), StatusCode::Unset);
        assert_eq!(parts(&collector, &span), below);
    }
    // They were sent in order, and these came first.
    assert_eq!(collector.trace(unasked), []);
    let servers = collector.spans();
    let servers = servers.iter().filter(|it| it.kind() == SpanKind::Server);
    assert_eq!(servers.count(), 5);
    let service = expected(&[
        ("service.name", "keys of chat"),
        ("service.version", env!("CARGO_PKG_VERSION")),
    ]);
    assert!(collector.services().iter().all(|it| *it == service));
    let exported = dev.metric("lethe_telemetry_spans_exported_total").await;
    assert_eq!(exported, collector.spans().len() as i64);
    assert_eq!(dev.metric("lethe_telemetry_spans_dropped_total").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_shows_the_calls_of_the_hsm() {
    let collector = Collector::start().await;
    let dev = traced(collector.address, "sample_ratio = 1");
    let api = dev.api(Role::MessageServer);
    api.shred("chat", "room").await.ok(200);
    let batch = |span: &Span| span.name == "forget batch";
    eventually("a batch", async || collector.spans().iter().any(batch)).await;
    let spans = collector.spans();
    let batch = spans.iter().find(|span| batch(span)).unwrap();
    // A root of its own: it does the work of many requests.
    assert!(batch.parent_span_id.is_empty());
    assert_eq!(
        attributes(&batch.attributes),
        expected(&[("lethe.items", "1")])
    );
    let below = parts(&collector, batch);
    for call in [
        "hsm create_key",
        "hsm seal",
        "hsm open",
        "hsm destroy",
        "hsm sign",
    ] {
        assert!(below.iter().any(|name| name == call), "{call}: {below:?}");
    }
    let call = spans.iter().find(|it| it.name == "hsm sign").unwrap();
    assert_eq!(
        attributes(&call.attributes),
        expected(&[("lethe.result", "ok")])
    );
    // The request is a trace too, though nobody asked.
    let request = spans.iter().find(|it| it.kind() == SpanKind::Server);
    let request = request.unwrap();
    assert!(request.parent_span_id.is_empty());
    assert_ne!(request.trace_id, batch.trace_id);
}

/// All that a caller sends or gets and that is his alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_caller_gets_out() {
    let collector = Collector::start().await;
    let mut dev = traced(collector.address, "sample_ratio = 1");
    let (api, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    let (keyspace, room) = ("chat-of-the-embassy", "alice-and-bob");
    operator.set_keyspace(keyspace, "72h", "1h").await.ok(201);
    let at = |rest: &str| format!("/v1/keyspaces/{keyspace}/{rest}");
    let issued = api.issue(keyspace, room).await;
    let mut secrets = vec![
        keyspace.to_owned(),
        room.to_owned(),
        issued.request_id.clone(),
    ];
    let (key, wrapped) = (issued.text("data_key"), issued.text("wrapped_key"));
    api.unwrap(keyspace, room, &wrapped).await.ok(200);
    let rewrapped = api.rewrap(keyspace, room, &wrapped).await;
    let batch = json!({ "items": [{ "conversation": room, "wrapped_key": wrapped }] });
    api.post(&at("data-keys/unwrap"), &batch).await.ok(200);
    // Refused in all ways.
    api.unwrap(keyspace, "carol-and-dave", &wrapped).await;
    api.post_bytes(&at("data-keys"), "{\"erin\": 1").await;
    api.get("/v1/keyspaces/frank").await;
    api.get(&at("shreds/grace?heidi=ivan")).await;
    api.get("/v1/judy").await;
    let parent = sampled("0af7651916cd43dd8448eb211c80319c");
    let request = api.request(Method::GET, "/v1/keyspaces?limit=1&after=mallory");
    let request = request.header("traceparent", parent);
    let request = request.header("tracestate", "niaj=olivia");
    let request = request.header("baggage", "peggy=rupert");
    request.send().await.unwrap();
    let id = "018f0000-0000-7000-8000-00000000beef";
    let shred = api.shred_as(keyspace, room, id).await.ok(200);
    api.get(&at(&format!("shreds/{id}"))).await.ok(200);
    operator.delete(&format!("/v1/keyspaces/{keyspace}")).await;
    dev.stop();

    let sent = collector.bytes();
    let holds = |bytes: &[u8]| sent.windows(bytes.len()).any(|it| it == bytes);
    for operation in ["data-keys/unwrap", "data-keys/rewrap", "shreds/{id}"] {
        let route = format!("/v1/keyspaces/{{keyspace}}/{operation}");
        assert!(holds(route.as_bytes()), "{route}");
    }
    secrets.extend([&key, &wrapped, &rewrapped.text("wrapped_key"), id].map(ToString::to_string));
    secrets.push(shred["opening"].to_string());
    let words = "carol dave erin frank grace heidi ivan judy mallory niaj olivia peggy rupert \
                 message-server operator spiffe 127.0.0.1";
    secrets.extend(words.split(' ').map(str::to_owned));
    for secret in &secrets {
        assert!(!holds(secret.as_bytes()), "{secret}");
    }
    let row = wrapped.strip_prefix("lethe:v1:").unwrap();
    for bytes in [
        Base64::decode_vec(&key).unwrap(),
        Base64UrlUnpadded::decode_vec(row).unwrap(),
        u128::from_str_radix(&id.replace('-', ""), 16)
            .unwrap()
            .to_be_bytes()
            .to_vec(),
    ] {
        // Nor a part of them.
        assert!(bytes.windows(8).all(|part| !holds(part)), "{bytes:?}");
    }
}
