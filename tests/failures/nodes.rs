//! Several nodes on one PostgreSQL: one serves, the others wait as its spares.

use serde_json::json;

use crate::support::nodes::{Node, Site};
use crate::support::{Role, eventually, refused};

/// A node that waits says so, and serves nobody.
async fn waits(node: &Node) {
    eventually("it waits as a spare", async || {
        let said = node.ops("/readyz").await;
        said.is_some_and(|(status, text)| status == 503 && text.contains("waits as a spare"))
    })
    .await;
    assert_eq!(node.ops("/healthz").await.unwrap().0, 200);
    assert!(!node.has_served(), "{}", node.log());
}

#[tokio::test]
async fn a_spare_serves_when_the_node_has_stopped_and_when_it_was_killed() {
    let site = Site::new();
    let [mut first, mut second] = ["first", "second"].map(|name| site.node(name));
    assert!(first.lethe(&["init"]).contains("initialised"));
    assert!(second.lethe(&["init"]).contains("was initialised before"));
    first.run();
    second.begin();
    waits(&second).await;

    let operator = site.api(&first, Role::Operator);
    operator.set_keyspace("chat", "72h", "1h").await.ok(201);
    let api = site.api(&first, Role::MessageServer);
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
