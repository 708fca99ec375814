//! Bodies that are not what an operation takes.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use hyper::{Method, Request, Version, header};
use serde_json::{Value, json};

use super::cases::{Case, Worlds};
use super::world::{Client, Reply, World, described, refused, request};
use crate::http::routes::{Route, routes};

const JSON: &str = "application/json";

fn takes_body(route: &Route) -> bool {
    described(route)["requestBody"].is_object()
}

/// Bytes in the place of the body of a case.
async fn sent(case: &Case<'_>, route: &Route, body: impl Into<Body>) -> Reply {
    let request = Request::builder().method(&route.method);
    let request = request.uri(case.path(route));
    let request = request.header(header::CONTENT_TYPE, JSON);
    let client = case.world.client(case.by);
    client.send(request.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn what_is_no_object_of_the_operation_is_refused() {
    let worlds = Worlds::open().await;
    let nested = "[".repeat(500_000);
    for route in routes().iter().filter(|route| takes_body(route)) {
        let case = worlds.case(route.operation).await;
        let good = case.body.clone().unwrap();
        let twice = format!("{good} {good}");
        for wrong in [
            "",
            "{",
            "not json",
            "null",
            "7",
            "\"text\"",
            "[]",
            "{}",
            "{\"surprise\":1}",
            "{\"items\":{}}",
            "{\"items\":[]}",
            "{\"items\":null}",
            &twice,
            &nested,
        ] {
            let reply = sent(&case, route, wrong.to_owned()).await;
            refused(&reply, 400, "invalid_request");
        }
        // serde takes the values in order for a struct.
        let values: Vec<_> = good.as_object().unwrap().values().collect();
        let list = sent(&case, route, json!(values).to_string()).await;
        refused(&list, 400, "invalid_request");
        // Nothing of it was done.
        sent(&case, route, good.to_string()).await.ok(case.status);
    }
}

#[tokio::test]
async fn each_member_has_its_type_and_no_value_comes_back() {
    let worlds = Worlds::open().await;
    for route in routes().iter().filter(|route| takes_body(route)) {
        let case = worlds.case(route.operation).await;
        let good = case.body.clone().unwrap();
        for (name, value) in good.as_object().unwrap() {
            for wrong in [
                json!({ "secret": 1 }),
                json!([["secret"]]),
                json!(7.5),
                json!("\u{7}secret"),
            ] {
                let mut body = good.clone();
                body[name] = wrong;
                let reply = sent(&case, route, body.to_string()).await;
                let what = format!("{} {name}: {}", route.operation, reply.body);
                assert!(
                    (reply.status, reply.code()) == (400, "invalid_request")
                        || reply.code() == "invalid_wrapped_key" && name == "wrapped_key",
                    "{what}"
                );
                assert!(!reply.text("detail").contains("secret"), "{what}");
            }
            let mut twice = good.to_string();
            twice.insert_str(1, &format!("\"{name}\":{value},"));
            refused(&sent(&case, route, twice).await, 400, "invalid_request");
        }
        let mut more = good.clone();
        more["surprise"] = json!("secret");
        let reply = sent(&case, route, more.to_string()).await;
        refused(&reply, 400, "invalid_request");
        assert!(!reply.text("detail").contains("secret"), "{}", reply.body);
        sent(&case, route, good.to_string()).await.ok(case.status);
    }
}

#[tokio::test]
async fn a_body_is_at_most_1_mib_and_a_batch_1000_items() {
    let worlds = Worlds::open().await;
    for route in routes().iter().filter(|route| takes_body(route)) {
        let case = worlds.case(route.operation).await;
        let good = case.body.clone().unwrap();
        // White space is JSON too.
        let mut body = good.to_string().into_bytes();
        body.resize((1 << 20) + 1, b' ');
        let reply = sent(&case, route, body.clone()).await;
        refused(&reply, 413, "too_large");
        // The same without an announced length.
        let chunks = body.chunks(100_000).map(Bytes::copy_from_slice);
        let chunks: Vec<_> = chunks.map(Ok::<_, Infallible>).collect();
        let reply = sent(&case, route, Body::from_stream(stream::iter(chunks))).await;
        refused(&reply, 413, "too_large");
        let is_batch = described(route).to_string().contains("Batch\"");
        if is_batch || good["items"].is_array() {
            let item = match good["items"].as_array() {
                Some(items) => items[0].clone(),
                None => good,
            };
            let many = json!({ "items": vec![item; 1_001] }).to_string();
            refused(&sent(&case, route, many).await, 413, "too_large");
        }
        body.pop();
        sent(&case, route, body).await.ok(case.status);
    }
}

#[tokio::test]
async fn a_body_is_json_without_an_encoding() {
    let worlds = Worlds::open().await;
    for route in routes() {
        let case = worlds.case(route.operation).await;
        let client = case.world.client(case.by);
        let body = case.body.as_ref().map(Value::to_string).unwrap_or_default();
        let send = async |headers: &[(&str, &str)]| {
            let mut request = Request::builder().method(&route.method);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.uri(case.path(&route)).body(body.clone().into());
            client.send(request.unwrap()).await
        };
        let mut wrong = vec![
            vec![("content-type", "text/plain")],
            vec![("content-type", "application/jsonp")],
            vec![("content-type", JSON), ("content-encoding", "gzip")],
        ];
        if takes_body(&route) {
            wrong.push(Vec::new());
        }
        for headers in wrong {
            let reply = send(&headers).await;
            refused(&reply, 415, "unsupported_media_type");
        }
        let fits = [
            ("content-type", "Application/JSON; charset=utf-8"),
            ("content-encoding", "identity"),
        ];
        send(&fits).await.ok(case.status);
    }
}

async fn issue(client: &Client, change: impl FnOnce(&mut Request<Body>)) -> Reply {
    let request = Request::post("/v1/keyspaces/chat/data-keys");
    let request = request.header(header::CONTENT_TYPE, JSON);
    let mut request = request.body(r#"{"conversation":"room"}"#.into()).unwrap();
    change(&mut request);
    client.send(request).await
}

#[tokio::test]
async fn what_does_not_come_whole_is_refused() {
    let world = World::open().await;
    let client = world.client("message-server");
    let begun = [Ok(Bytes::from_static(b"{")), Err("the connection ended")];
    let broken = Body::from_stream(stream::iter(begun));
    let reply = issue(&client, |request| *request.body_mut() = broken).await;
    refused(&reply, 400, "invalid_request");
    // Over HTTP/2 nobody would answer 100 Continue.
    let expects = |request: &mut Request<Body>, version| {
        let continues = "100-continue".parse().unwrap();
        request.headers_mut().insert(header::EXPECT, continues);
        *request.version_mut() = version;
    };
    let reply = issue(&client, |it| expects(it, Version::HTTP_2)).await;
    refused(&reply, 417, "expectation_failed");
    let mut bodyless = request(&Method::GET, "/v1/keyspaces", None);
    expects(&mut bodyless, Version::HTTP_2);
    refused(&client.send(bodyless).await, 417, "expectation_failed");
    let reply = issue(&client, |it| expects(it, Version::HTTP_11)).await;
    reply.ok(201);
}
