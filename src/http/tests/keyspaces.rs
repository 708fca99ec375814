//! Settings that cannot be, and versions.

use serde_json::json;

use super::world::{World, refused, request, settings};

#[tokio::test]
async fn impossible_policies_are_refused_with_the_reason() {
    let world = World::open().await;
    let operator = world.client("operator");
    let before = world.process.hsm.count();
    for (retention, granularity, reason) in [
        ("0s", "1s", "retention"),
        ("0d", "0d", "retention"),
        ("1h", "0s", "granularity"),
        ("1h", "2h", "granularity must not be larger than retention"),
        ("1500ms", "1s", "retention"),
        ("36601d", "1d", "retention"),
        ("72", "1h", "retention: a duration is"),
        ("72 h", "1h", "retention: a duration is"),
        ("-72h", "1h", "retention: a duration is"),
        ("1e3h", "1h", "retention: a duration is"),
        ("", "1h", "retention: a duration is"),
        ("72h", "1w", "granularity: a duration is"),
        ("99999999999999999999d", "1h", "retention: a duration is"),
    ] {
        let reply = operator.set_keyspace("odd", retention, granularity).await;
        refused(&reply, 400, "invalid_request");
        let detail = reply.text("detail");
        assert!(
            detail.contains(reason),
            "{retention} {granularity}: {detail}"
        );
    }
    // 99,969 s of retention, the bucket in use, 30 ahead: 100,000.
    let many = operator.set_keyspace("odd", "99969s", "1s").await;
    refused(&many, 409, "too_many_buckets");
    assert!(many.text("detail").contains("100000 live buckets"));
    for (member, value) in [("rotation", json!("0s")), ("minimum_version", json!(0))] {
        let mut body = settings("72h", "1h");
        body[member] = value;
        let reply = operator.put("/v1/keyspaces/odd", &body).await;
        refused(&reply, 400, "invalid_request");
    }
    let absent = operator.get("/v1/keyspaces/odd").await;
    refused(&absent, 404, "unknown_keyspace");
    assert_eq!(world.process.hsm.count(), before);
}

#[tokio::test]
async fn the_hsm_must_have_room_for_all_keyspaces() {
    let world = World::open_with(|config| config.hsm.max_objects = 200).await;
    let operator = world.client("operator");
    operator.set_keyspace("first", "50h", "1h").await.ok(201);
    let second = operator.set_keyspace("second", "100h", "1h").await;
    refused(&second, 409, "too_many_buckets");
    assert!(second.text("detail").contains("200"), "{}", second.body);
    // A change of what is there is counted once, not twice.
    operator.set_keyspace("first", "60h", "1h").await.ok(200);
    operator.set_keyspace("second", "20h", "1h").await.ok(201);
    let client = world.client("message-server");
    client.issue("second", "room").await.ok(201);
}

#[tokio::test]
async fn at_most_eight_versions_live() {
    let world = World::open().await;
    let operator = world.client("operator");
    let rotate = || request(&hyper::Method::POST, "/v1/keyspaces/chat/versions", None);
    for _ in 0..7 {
        operator.send(rotate()).await.ok(201);
    }
    refused(&operator.send(rotate()).await, 409, "conflict");
    let shredded = operator.shred("chat", "room").await.ok(200);
    let keys = shredded["opening"]["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 8);
}

#[tokio::test]
async fn the_newest_version_is_not_dropped() {
    let world = World::open().await;
    let operator = world.client("operator");
    let newest = operator.delete("/v1/keyspaces/chat/versions/1").await;
    refused(&newest, 409, "conflict");
    let chat = operator.get("/v1/keyspaces/chat").await.ok(200);
    assert_eq!(chat["versions"].as_array().unwrap().len(), 1);
}
