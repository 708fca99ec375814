//! The places that requests and answers occupy, and when they are given back.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use hyper::{Method, Request, header};
use lethe_core::keyspace::KeyspaceName;
use lethe_core::refusals::Target;
use lethe_testkit::memory_hsm::Fault;
use serde_json::json;

use super::world::{Client, World, eventually, refused, request};

/// Requests end after this time.
const SHORT: Duration = Duration::from_millis(500);

const REQUESTS: &str = "lethe_budget_used{budget=\"requests\"}";
const ANSWERS: &str = "lethe_budget_used{budget=\"answers\"}";
const BYTES: &str = "lethe_budget_used{budget=\"body_bytes\"}";

/// One with a short time limit.
async fn impatient() -> World {
    World::open_with(|config| config.server.request_timeout = SHORT).await
}

/// One that has two places for requests, of which one client gets one.
async fn narrow() -> World {
    World::open_with(|config| config.limits.requests = 2).await
}

/// Keeps calls for keys of `chat` waiting: an erase of it is being accepted, or not.
fn hold_up(world: &World) -> Vec<Target> {
    let key_state = &world.process.service.node.key_state;
    let name: KeyspaceName = "chat".parse().unwrap();
    let chat = key_state.keyring().keyspaces[&name].id;
    let held = key_state.refusals.pend([Target::Keyspace(chat)]);
    assert_eq!(held.len(), 1);
    held
}

fn go_on(world: &World, held: &[Target]) {
    let key_state = &world.process.service.node.key_state;
    key_state.refusals.withdraw(held);
}

fn used(world: &World) -> [i64; 3] {
    [REQUESTS, ANSWERS, BYTES].map(|name| world.metric(name))
}

#[tokio::test]
async fn a_request_that_takes_too_long_gives_its_place_back() {
    let world = impatient().await;
    let client = world.client("message-server");
    let held = hold_up(&world);
    let (reply, ()) = tokio::join!(
        client.issue("chat", "room"),
        eventually("it is under way", async || world.metric(REQUESTS) == 1),
    );
    refused(&reply, 503, "overloaded");
    assert!(reply.text("detail").contains("took too long"));
    assert_eq!(used(&world), [0; 3]);
    go_on(&world, &held);
    client.issue("chat", "room").await.ok(201);
}

#[tokio::test]
async fn what_cannot_be_undone_keeps_its_place_until_it_is_done() {
    let world = impatient().await;
    let client = world.client("operator");
    let sequence = || {
        let key_state = &world.process.service.node.key_state;
        key_state.keyring().sequence
    };
    let before = sequence();
    world.process.hsm.set_fault(Fault::Hangs);
    let rotate = request(&Method::POST, "/v1/root/rotations", None);
    refused(&client.send(rotate).await, 503, "overloaded");
    assert_eq!(used(&world), [1, 0, 0]);
    world.process.hsm.set_fault(Fault::None);
    eventually("it is done", async || used(&world) == [0; 3]).await;
    assert_eq!(sequence(), before + 1);
    let audit = world.process.audit();
    assert!(
        audit
            .lines()
            .any(|it| it.contains("rotate_root") && it.contains("\"ok\""))
    );
}

#[tokio::test]
async fn a_body_that_does_not_come_gives_its_bytes_back() {
    let world = impatient().await;
    let client = world.client("message-server");
    let never = stream::pending::<Result<Bytes, Infallible>>();
    let issue = Request::post("/v1/keyspaces/chat/data-keys")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from_stream(never));
    let (reply, ()) = tokio::join!(
        client.send(issue.unwrap()),
        eventually("its bytes are taken", async || world.metric(BYTES) > 0),
    );
    refused(&reply, 503, "overloaded");
    assert_eq!(used(&world), [0; 3]);
}

#[tokio::test]
async fn one_request_too_many_is_refused_and_takes_nothing_from_others() {
    let world = narrow().await;
    let client = world.client("message-server");
    let mut place = client.responder.connection.account().request();
    assert!(place.admit());
    // On another connection of the client, too.
    for connection in [&client, &world.client("message-server")] {
        let reply = connection.issue("chat", "room").await;
        refused(&reply, 503, "overloaded");
        assert!(reply.text("detail").contains("too many requests"));
    }
    world.client("auditor").get("/v1/status").await.ok(200);
    drop(place);
    client.issue("chat", "room").await.ok(201);
    assert_eq!(used(&world), [0; 3]);
}

#[tokio::test]
async fn too_many_bytes_are_refused() {
    let world = World::open_with(|config| config.limits.body_bytes = 1 << 20).await;
    let client = world.client("message-server");
    let mut other = client.responder.connection.account().request();
    assert!(other.begin_body(500_000));
    let body = json!({ "conversation": "room", "reason": "x".repeat(200_000) });
    let reply = client.post("/v1/keyspaces/chat/shreds", &body).await;
    refused(&reply, 503, "overloaded");
    assert!(reply.text("detail").contains("too many bytes"));
    drop(other);
    let reply = client.post("/v1/keyspaces/chat/shreds", &body).await;
    refused(&reply, 400, "invalid_request");
    assert_eq!(used(&world), [0; 3]);
}

/// An answer that stands in the buffer of its connection until it is dropped.
async fn unread(client: &Client, path: &str) -> Box<dyn Send> {
    let request = request(&Method::GET, path, None);
    Box::new(client.responder.respond(request).await.unwrap())
}

#[tokio::test]
async fn an_answer_holds_its_place_until_it_is_read() {
    let world = narrow().await;
    let client = world.client("operator");
    let answer = unread(&client, "/v1/status").await;
    assert_eq!(used(&world)[..2], [1, 0]);
    refused(&client.get("/v1/status").await, 503, "overloaded");
    drop(answer);
    client.get("/v1/status").await.ok(200);
    // A refusal holds a place among the answers alone.
    let refusal = unread(&client, "/v1/keyspaces/absent").await;
    assert_eq!(used(&world), [0, 1, 0]);
    client.get("/v1/status").await.ok(200);
    // Whoever does not read his refusals gets no more of them.
    let request = request(&Method::GET, "/nothing", None);
    assert!(client.respond(request).await.is_err());
    drop(refusal);
    refused(&client.get("/nothing").await, 404, "not_found");
    assert_eq!(used(&world), [0; 3]);
}
