//! No client takes more than it may, and none can read everything.

use std::time::Duration;

use crate::support::{Api, Dev, Role, eventually, refused};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

const ISSUE: &str = "/v1/keyspaces/chat/data-keys";
const UNWRAP: &str = "/v1/keyspaces/chat/data-keys/unwrap";
const SHREDS: &str = "/v1/keyspaces/chat/shreds";

fn with(limits: &str) -> Dev {
    Dev::start_with(|text| text.replace("[clock]", &format!("[limits]\n{limits}\n[clock]")))
}

fn batch(names: impl Iterator<Item = String>) -> Value {
    let items: Vec<_> = names.map(|name| json!({ "conversation": name })).collect();
    json!({ "items": items })
}

fn rooms(count: usize) -> Value {
    batch((0..count).map(|number| format!("room {number}")))
}

/// Seconds to wait, of an answer that must be 429.
async fn exceeded(api: &Api, path: &str, body: &Value) -> u64 {
    let json = Some("application/json");
    let sent = api.raw(Method::POST, path, json, body.to_string()).await;
    let raw = sent.unwrap();
    let after = raw.headers()["retry-after"].to_str().unwrap();
    let after = after.parse().unwrap();
    let answer = crate::support::api::Answer::of(raw).await;
    refused(&answer, 429, "quota_exceeded");
    after
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_counted_and_not_requests() {
    let dev = with(
        "issue = { per_second = 1, burst = 1000 }\nunwrap = { per_second = 1, burst = 1000 }\n\
         shred = { per_second = 1, burst = 1000 }",
    );
    let api = dev.api(Role::MessageServer);
    let issued = api.post(ISSUE, &rooms(990)).await.ok(200);
    // What is left is no room for a batch, but for single ones.
    let after = exceeded(&api, ISSUE, &rooms(500)).await;
    assert!((400..=500).contains(&after), "{after}");
    api.issue("chat", "one").await.ok(201);
    // Nothing was taken for what was refused.
    api.post(ISSUE, &rooms(5)).await.ok(200);

    // Each kind has a quota of its own.
    let keys = issued["items"].as_array().unwrap().iter();
    let stored = |key: &Value| json!({ "conversation": key["conversation"], "wrapped_key": key["wrapped_key"] });
    let items: Vec<_> = keys.map(stored).collect();
    let all = json!({ "items": items });
    api.post(UNWRAP, &all).await.ok(200);
    exceeded(&api, UNWRAP, &all).await;
    api.post("/v1/keyspaces/chat/data-keys/rewrap", &all)
        .await
        .ok(200);
    api.post(SHREDS, &rooms(600)).await.ok(200);
    exceeded(&api, SHREDS, &rooms(600)).await;

    // Another client has its own.
    let operator = dev.api(Role::Operator);
    operator.post(SHREDS, &rooms(600)).await.ok(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_certificate_cannot_read_everything() {
    let dev = with("conversations = { most = 100, window = \"8s\", stop = true }");
    let api = dev.api(Role::MessageServer);
    let issued = api.post(ISSUE, &rooms(150)).await.ok(200);
    let keys = issued["items"].as_array().unwrap();
    let stored = |key: &Value| json!({ "conversation": key["conversation"], "wrapped_key": key["wrapped_key"] });
    let items: Vec<_> = keys.iter().map(stored).collect();
    let some = json!({ "items": items[..100] });
    for _ in 0..3 {
        api.post(UNWRAP, &some).await.ok(200);
    }
    assert_eq!(dev.metric("lethe_clients_above_ceiling").await, 0);
    refused(&api.post(UNWRAP, &items[100]).await, 429, "quota_exceeded");
    assert_eq!(dev.metric("lethe_clients_above_ceiling").await, 1);
    assert_eq!(dev.metric("lethe_ceilings_reached_total").await, 1);
    // It is stopped, whatever it asks for.
    let after = exceeded(&api, UNWRAP, &some).await;
    assert!((1..=2).contains(&after), "{after}");
    exceeded(&api, ISSUE, &rooms(1)).await;
    exceeded(&api, SHREDS, &rooms(1)).await;
    // The window slides on.
    eventually("it may again", async || {
        api.issue("chat", "again").await.status == 201
    })
    .await;
    eventually("it may read again", async || {
        api.post(UNWRAP, &items[100]).await.status == 200
    })
    .await;
    assert_eq!(dev.metric("lethe_clients_above_ceiling").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ceiling_that_only_tells_stops_nobody() {
    let dev = with("conversations = { most = 10, window = \"1h\" }");
    let api = dev.api(Role::MessageServer);
    let issued = api.post(ISSUE, &rooms(20)).await.ok(200);
    for key in issued["items"].as_array().unwrap() {
        let item =
            json!({ "conversation": key["conversation"], "wrapped_key": key["wrapped_key"] });
        api.post(UNWRAP, &item).await.ok(200);
    }
    assert_eq!(dev.metric("lethe_clients_above_ceiling").await, 1);
    assert_eq!(dev.metric("lethe_ceilings_reached_total").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_requests_are_turned_away_at_once() {
    // Half of them for one client.
    let dev = with("requests = 16");
    let api = dev.api(Role::MessageServer);
    // The HSM holds up what is to be forgotten, and with it these.
    dev.hsm_sim(&["fault", "set", "hang"]);
    let slow: Vec<_> = (0..8)
        .map(|number| {
            let api = api.clone();
            tokio::spawn(async move { api.shred("chat", &format!("slow {number}")).await })
        })
        .collect();
    eventually("they are under way", async || {
        dev.metric("lethe_requests_under_way").await == 8
    })
    .await;
    let turned_away = api.issue("chat", "room").await;
    refused(&turned_away, 503, "overloaded");
    // Another client has a share of its own.
    let operator = dev.api(Role::Operator);
    operator.get("/v1/status").await.ok(200);
    dev.hsm_sim(&["fault", "clear", "--all"]);
    for answer in join_all(slow).await {
        assert!([200, 202].contains(&answer.unwrap().status));
    }
    eventually("there is room again", async || {
        dev.metric("lethe_requests_under_way").await == 0
    })
    .await;
    tokio::time::timeout(Duration::from_secs(30), api.issue("chat", "room"))
        .await
        .unwrap()
        .ok(201);
}
