//! What an id of a shred means, and what a batch answers.

use serde_json::{Value, json};

use super::world::{Client, Reply, World, refused};

const SHREDS: &str = "/v1/keyspaces/chat/shreds";
const FIRST: &str = "0190f2a4-7c1e-7b7d-8c7b-0d6f1f2e3a4b";
const SECOND: &str = "0190f2a4-7c1e-7b7d-8c7b-0d6f1f2e3a4c";

fn generation(wrapped: &str) -> u16 {
    let wrapped: lethe_core::wrapped_key::WrappedKey = wrapped.parse().unwrap();
    wrapped.header().generation.number()
}

async fn issued(client: &Client, conversation: &str) -> String {
    client.issue("chat", conversation).await.text("wrapped_key")
}

async fn shred_as(client: &Client, conversation: &str, id: &str) -> Reply {
    let body = json!({ "conversation": conversation, "id": id });
    client.post(SHREDS, &body).await
}

#[tokio::test]
async fn an_id_means_one_request() {
    let world = World::open().await;
    let client = world.client("message-server");
    let first = shred_as(&client, "room", FIRST).await.ok(200);
    let later = issued(&client, "room").await;
    let again = shred_as(&client, "room", FIRST).await.ok(200);
    assert_eq!(again, first);
    client.unwrap("chat", "room", &later).await.ok(200);
    let stolen = shred_as(&client, "another", FIRST).await;
    refused(&stolen, 409, "conflict");
    let kept = issued(&client, "another").await;
    assert_eq!(generation(&kept), 0);
    let no_id = shred_as(&client, "room", "x").await;
    refused(&no_id, 400, "invalid_request");
    let same = SECOND.to_uppercase();
    shred_as(&client, "room", &same).await.ok(200);
    let gone = client.unwrap("chat", "room", &later).await;
    refused(&gone, 410, "shredded");
}

#[tokio::test]
async fn a_batch_answers_each_item() {
    let world = World::open().await;
    let client = world.client("message-server");
    let mut items: Vec<Value> = (0..1_000)
        .map(|room| json!({ "conversation": format!("room {room}") }))
        .collect();
    items[7] = json!({ "conversation": "bad\u{7}" });
    items[8] = json!({ "conversation": "room 9" });
    let kept = issued(&client, "room 1000").await;
    let gone = issued(&client, "room 9").await;
    let done = client.post(SHREDS, &json!({ "items": items })).await;
    let done = done.ok(200);
    let answers = done["items"].as_array().unwrap();
    assert_eq!(answers.len(), 1_000);
    assert_eq!(answers[7]["error"]["code"], "invalid_request");
    // The same conversation twice is one shred.
    assert_eq!(answers[8]["id"], answers[9]["id"]);
    assert_eq!(answers[8]["receipt"], answers[9]["receipt"]);
    let destroyed = answers.iter().filter(|it| it["state"] == "destroyed");
    assert_eq!(destroyed.count(), 999);
    let gone = client.unwrap("chat", "room 9", &gone).await;
    refused(&gone, 410, "shredded");
    client.unwrap("chat", "room 1000", &kept).await.ok(200);
    assert_eq!(generation(&issued(&client, "room 9").await), 1);
}
