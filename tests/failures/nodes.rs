//! Several nodes on one PostgreSQL: one serves, the others wait as its spares.

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::nodes::{Node, Site};
use crate::support::{Api, Role, eventually, refused};

async fn waits_again(node: &Node) {
    eventually("it waits as a spare", async || {
        let said = node.ops("/readyz").await;
        said.is_some_and(|(status, text)| status == 503 && text.contains("waits as a spare"))
    })
    .await;
    assert_eq!(node.ops("/healthz").await.unwrap().0, 200);
}

/// A node that waits says so, and serves nobody.
async fn waits(node: &Node) {
    waits_again(node).await;
    assert!(!node.has_served(), "{}", node.log());
}

#[tokio::test]
async fn a_spare_serves_when_the_node_has_stopped_and_when_it_was_killed() {
    let site = Site::new();
    let (mut first, mut second) = first_and_spare(&site).await;

    let api = with_chat(&site, &first).await;
    let kept = api.issue("chat", "kept").await;
    let gone = api.issue("chat", "gone").await;
    let shred = json!({ "conversation": "gone" });
    let shredded = api.post("/v1/keyspaces/chat/shreds", &shred).await;
    assert_eq!(shredded.clone().ok(200)["state"], "destroyed");

    first.stop();
    second.serves();
    let api = site.api(&second, Role::MessageServer);
    let read = api
        .unwrap("chat", "kept", &kept.text("wrapped_key"))
        .await
        .ok(200);
    assert_eq!(read["data_key"], kept.body["data_key"]);
    let read = api.unwrap("chat", "gone", &gone.text("wrapped_key")).await;
    refused(&read, 410, "shredded");
    let receipt = format!("/v1/keyspaces/chat/shreds/{}", shredded.text("id"));
    let known = api.get(&receipt).await.ok(200);
    assert_eq!(known["receipt"], shredded.body["receipt"]);

    first.begin();
    waits(&first).await;
    let later = api.issue("chat", "later").await;
    second.kill();
    first.serves();
    let api = site.api(&first, Role::MessageServer);
    let read = api
        .unwrap("chat", "later", &later.text("wrapped_key"))
        .await
        .ok(200);
    assert_eq!(read["data_key"], later.body["data_key"]);
    let read = api.unwrap("chat", "gone", &gone.text("wrapped_key")).await;
    refused(&read, 410, "shredded");
}

#[tokio::test]
async fn a_node_that_was_killed_serves_again_at_once() {
    let site = Site::new();
    let mut node = site.node("only");
    node.lethe(&["init"]);
    node.run();
    node.kill();
    node.run();
    assert!(
        !node.log().contains("waiting for its answer"),
        "{}",
        node.log()
    );
}

/// A node that serves, and another one that waits.
async fn first_and_spare(site: &Site) -> (Node, Node) {
    let [mut first, mut second] = ["first", "second"].map(|name| site.node(name));
    assert!(first.lethe(&["init"]).contains("initialised"));
    assert!(second.lethe(&["init"]).contains("was initialised before"));
    first.run();
    second.begin();
    waits(&second).await;
    (first, second)
}

/// A message server's client at a node, whose deployment gets the keyspace `chat`.
async fn with_chat(site: &Site, node: &Node) -> Api {
    let operator = site.api(node, Role::Operator);
    operator.set_keyspace("chat", "72h", "1h").await.ok(201);
    site.api(node, Role::MessageServer)
}

async fn shred(api: &Api, conversation: &str) -> Value {
    let body = json!({ "conversation": conversation }).to_string();
    let request = api.request(Method::POST, "/v1/keyspaces/chat/shreds");
    let request = request.header("content-type", "application/json");
    let answer = request.header("prefer", "respond-async").body(body).send();
    answer.await.unwrap().json().await.unwrap()
}

async fn destroyed(api: &Api, id: &Value) -> Option<Value> {
    let path = format!("/v1/keyspaces/chat/shreds/{}", id.as_str().unwrap());
    let answer = api.get(&path).await;
    (answer.status == 200 && answer.body["state"] == "destroyed").then_some(answer.body)
}

/// Keys are served on while nobody can write. When another copy is promoted, nothing is lost, and what is
/// destroyed waits until all copies follow it.
#[tokio::test]
async fn the_database_fails_over() {
    let site = Site::with_standbys(&["b", "c"]);
    let mut node = site.node("only");
    node.lethe(&["init"]);
    node.run();
    let api = with_chat(&site, &node).await;
    let kept = api.issue("chat", "kept").await;
    let gone = api.issue("chat", "gone").await;
    let id = shred(&api, "gone").await["id"].clone();
    eventually("a receipt from all copies", async || {
        destroyed(&api, &id).await.is_some()
    })
    .await;
    let receipt = destroyed(&api, &id).await;

    site.server.stop("immediate");
    let read = api.unwrap("chat", "kept", &kept.text("wrapped_key")).await;
    assert_eq!(read.ok(200)["data_key"], kept.body["data_key"]);
    let later = api.issue("chat", "later").await;
    site.standbys["b"].promote();
    site.standbys["c"].follow(&site.standbys["b"], "c");
    // It starts again, with what the new primary holds.
    node.serves();
    let api = site.api(&node, Role::MessageServer);
    for key in [&kept, &later] {
        let conversation = key.text("conversation");
        let wrapped = key.text("wrapped_key");
        let read = api.unwrap("chat", &conversation, &wrapped).await.ok(200);
        assert_eq!(read["data_key"], key.body["data_key"]);
    }
    let read = api.unwrap("chat", "gone", &gone.text("wrapped_key")).await;
    refused(&read, 410, "shredded");
    assert_eq!(destroyed(&api, &id).await, receipt);

    let waiting = shred(&api, "later").await["id"].clone();
    let wrapped = later.text("wrapped_key");
    let read = api.unwrap("chat", "later", &wrapped).await;
    refused(&read, 410, "shredded");
    eventually("it says which copy is missing", async || {
        let said = node.ops("/readyz").await;
        said.is_some_and(|(_, text)| text.contains("the copy a does not follow"))
    })
    .await;
    assert_eq!(destroyed(&api, &waiting).await, None);
    let members = node.lethe(&["members"]);
    for line in ["primary", "follows, ", "away: nothing is destroyed"] {
        assert!(members.contains(line), "{members}");
    }
    let members = node.lethe(&["members", "set", "--off", "a"]);
    assert!(!members.contains("away"), "{members}");
    eventually("all that are left have it", async || {
        destroyed(&api, &waiting).await.is_some()
    })
    .await;
    node.stop();
}

/// A node that was stopped does not know that another one has gone on: it gives out no key when it wakes.
#[tokio::test]
async fn a_node_that_was_stopped_gives_out_nothing_when_it_wakes() {
    let site = Site::new();
    let (first, mut second) = first_and_spare(&site).await;
    let old = with_chat(&site, &first).await;
    let gone = old.issue("chat", "gone").await;
    first.signal(Signal::STOP);
    second.serves();
    let api = site.api(&second, Role::MessageServer);
    let body = json!({ "conversation": "gone" });
    let shredded = api.post("/v1/keyspaces/chat/shreds", &body).await.ok(200);
    assert_eq!(shredded["state"], "destroyed");
    // Its answer waits in the socket while it is stopped.
    let asked = tokio::spawn({
        let (old, wrapped) = (old.clone(), gone.text("wrapped_key"));
        async move { old.unwrap("chat", "gone", &wrapped).await }
    });
    first.signal(Signal::CONT);
    // It may have started again before it answered.
    if let Ok(answer) = asked.await {
        refused(&answer, 503, "lease_lost");
    }
    waits_again(&first).await;
    let later = api.issue("chat", "later").await;
    second.stop();
    first.serves();
    let wrapped = later.text("wrapped_key");
    let read = old.unwrap("chat", "later", &wrapped).await.ok(200);
    assert_eq!(read["data_key"], later.body["data_key"]);
    let read = old.unwrap("chat", "gone", &gone.text("wrapped_key")).await;
    refused(&read, 410, "shredded");
}

/// Another node may serve at a primary that this one does not see. It goes on when it reaches enough copies.
#[tokio::test]
async fn a_node_that_reaches_too_few_copies_lets_its_lease_end() {
    let site = Site::with_standbys(&["b"]);
    let mut node = site.node("only");
    node.lethe(&["init"]);
    node.run();
    let api = with_chat(&site, &node).await;
    let key = api.issue("chat", "one").await;
    let wrapped = key.text("wrapped_key");
    site.standbys["b"].stop("fast");
    eventually("the lease ends", async || {
        api.unwrap("chat", "one", &wrapped).await.code() == "lease_lost"
    })
    .await;
    site.standbys["b"].start();
    eventually("it serves again", async || {
        api.unwrap("chat", "one", &wrapped).await.status == 200
    })
    .await;
    assert!(!node.has_served(), "it started again: {}", node.log());
    node.stop();
}

/// Nothing but a signal to stop ends a spare: it may be all that is left.
#[tokio::test]
async fn a_spare_waits_while_the_database_is_away() {
    let site = Site::new();
    let (mut first, mut second) = first_and_spare(&site).await;
    let (status, metrics) = second.ops("/metrics").await.unwrap();
    assert_eq!(status, 200);
    assert!(metrics.ends_with("\nlethe_serving 0\n"), "{metrics}");
    site.server.stop("fast");
    eventually("it says what is away", async || {
        let said = second.ops("/readyz").await;
        said.is_some_and(|(_, text)| text.contains("spare: connect: no connection"))
    })
    .await;
    second.signal(Signal::HUP);
    site.server.start();
    // The node that has lost the lock for a moment takes it again first.
    let operator = site.api(&first, Role::Operator);
    eventually("the first serves on", async || {
        let answer = operator.set_keyspace("chat", "72h", "1h").await;
        [200, 201].contains(&answer.status)
    })
    .await;
    waits(&second).await;
    second.stop();
    assert!(!first.has_served(), "it started again: {}", first.log());
    let (_, metrics) = first.ops("/metrics").await.unwrap();
    assert!(metrics.contains("\nlethe_serving 1\n"));
    first.stop();
}
