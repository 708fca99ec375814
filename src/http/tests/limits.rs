//! No client takes more than it may, and none can read everything.

use std::num::NonZeroU32;
use std::time::Duration;

use futures_util::future::join_all;
use lethe_testkit::memory_hsm::Fault;
use serde_json::{Value, json};

use super::world::{Client, World, eventually, refused};
use crate::config::{CeilingSection, QuotaSection};

const ISSUE: &str = "/v1/keyspaces/chat/data-keys";
const UNWRAP: &str = "/v1/keyspaces/chat/data-keys/unwrap";
const SHREDS: &str = "/v1/keyspaces/chat/shreds";

fn rooms(count: usize) -> Value {
    let rooms = (0..count).map(|number| json!({ "conversation": format!("room {number}") }));
    json!({ "items": rooms.collect::<Vec<_>>() })
}

fn stored(key: &Value) -> Value {
    json!({ "conversation": key["conversation"], "wrapped_key": key["wrapped_key"] })
}

async fn ceiling(most: u32, window: u64, stop: bool) -> World {
    let ceiling = CeilingSection {
        most: NonZeroU32::new(most).unwrap(),
        window: Duration::from_secs(window),
        stop,
    };
    World::open_with(|config| config.limits.conversations = Some(ceiling)).await
}

/// Seconds to wait, of an answer that must be 429.
async fn exceeded(client: &Client, path: &str, body: &Value) -> u64 {
    let reply = client.post(path, body).await;
    refused(&reply, 429, "quota_exceeded");
    reply.header("retry-after").unwrap().parse().unwrap()
}

#[tokio::test]
async fn keys_are_counted_and_not_requests() {
    let quota = QuotaSection {
        per_second: NonZeroU32::MIN,
        burst: NonZeroU32::new(1_000).unwrap(),
    };
    let world = World::open_with(|config| {
        config.limits.issue = Some(quota);
        config.limits.unwrap = Some(quota);
        config.limits.shred = Some(quota);
        config.limits.rewrap = Some(quota);
    })
    .await;
    let client = world.client("message-server");
    let issued = client.post(ISSUE, &rooms(990)).await.ok(200);
    // What is left is no room for a batch, but for single ones.
    let after = exceeded(&client, ISSUE, &rooms(500)).await;
    assert!((400..=500).contains(&after), "{after}");
    client.issue("chat", "one").await.ok(201);
    // Nothing was taken for what was refused.
    client.post(ISSUE, &rooms(5)).await.ok(200);

    // Each kind has a quota of its own.
    let keys = issued["items"].as_array().unwrap().iter();
    let all = json!({ "items": keys.map(stored).collect::<Vec<_>>() });
    client.post(UNWRAP, &all).await.ok(200);
    exceeded(&client, UNWRAP, &all).await;
    let rewraps = "/v1/keyspaces/chat/data-keys/rewrap";
    client.post(rewraps, &all).await.ok(200);
    exceeded(&client, rewraps, &all).await;
    client.post(SHREDS, &rooms(600)).await.ok(200);
    exceeded(&client, SHREDS, &rooms(600)).await;

    // Another client has its own.
    let operator = world.client("operator");
    operator.post(SHREDS, &rooms(600)).await.ok(200);
}

#[tokio::test]
async fn what_only_reads_has_a_quota_as_well() {
    let world = World::open_with(|config| {
        config.limits.calls = QuotaSection {
            per_second: NonZeroU32::MIN,
            burst: NonZeroU32::new(6).unwrap(),
        };
    })
    .await;
    let auditor = world.client("auditor");
    let mut refusals = 0;
    // One quota for all of them together.
    for path in ["/v1/status", "/v1/keyspaces", "/v1/expiries"] {
        for _ in 0..10 {
            let reply = auditor.get(path).await;
            if reply.status != 200 {
                refused(&reply, 429, "quota_exceeded");
                refusals += 1;
            }
        }
    }
    assert!(refusals > 0, "all calls were answered");

    // Neither of another client nor of what has a quota of its own.
    let client = world.client("message-server");
    for _ in 0..10 {
        client.issue("chat", "room").await.ok(201);
    }
    world.client("operator").get("/v1/status").await.ok(200);
}

#[tokio::test]
async fn a_stolen_certificate_cannot_read_everything() {
    let world = ceiling(100, 4, true).await;
    let client = world.client("message-server");
    let issued = client.post(ISSUE, &rooms(150)).await.ok(200);
    let keys = issued["items"].as_array().unwrap();
    let items: Vec<_> = keys.iter().map(stored).collect();
    let some = json!({ "items": items[..100] });
    for _ in 0..3 {
        client.post(UNWRAP, &some).await.ok(200);
    }
    assert_eq!(world.metric("lethe_clients_above_ceiling"), 0);
    exceeded(&client, UNWRAP, &items[100]).await;
    assert_eq!(world.metric("lethe_clients_above_ceiling"), 1);
    assert_eq!(world.metric("lethe_ceilings_reached_total"), 1);
    // It is stopped, whatever it asks for.
    let after = exceeded(&client, UNWRAP, &some).await;
    assert!((1..=2).contains(&after), "{after}");
    exceeded(&client, ISSUE, &rooms(1)).await;
    exceeded(&client, SHREDS, &rooms(1)).await;
    // The window slides on.
    eventually("it may again", async || {
        client.issue("chat", "again").await.status == 201
    })
    .await;
    eventually("it may read again", async || {
        client.post(UNWRAP, &items[100]).await.status == 200
    })
    .await;
    assert_eq!(world.metric("lethe_clients_above_ceiling"), 0);
}

#[tokio::test]
async fn a_ceiling_that_only_tells_stops_nobody() {
    let world = ceiling(10, 3_600, false).await;
    let client = world.client("message-server");
    let issued = client.post(ISSUE, &rooms(20)).await.ok(200);
    for key in issued["items"].as_array().unwrap() {
        client.post(UNWRAP, &stored(key)).await.ok(200);
    }
    assert_eq!(world.metric("lethe_clients_above_ceiling"), 1);
    assert_eq!(world.metric("lethe_ceilings_reached_total"), 1);
}

#[tokio::test]
async fn too_many_requests_are_turned_away_at_once() {
    // Half of them for one client.
    let world = World::open_with(|config| config.limits.requests = 16).await;
    let client = world.client("message-server");
    let under_way = async |count: i64| {
        let name = "lethe_requests_under_way";
        eventually("so many are under way", async || {
            world.metric(name) == count
        })
        .await;
    };
    // The HSM holds up what is to be forgotten, and with it these.
    world.process.hsm.set_fault(Fault::Hangs);
    let rooms: Vec<_> = (0..8).map(|number| format!("slow {number}")).collect();
    let slow = join_all(rooms.iter().map(|room| client.shred("chat", room)));
    let meanwhile = async {
        under_way(8).await;
        let turned_away = client.issue("chat", "room").await;
        refused(&turned_away, 503, "overloaded");
        // Another client has a share of its own.
        world.client("operator").get("/v1/status").await.ok(200);
        world.process.hsm.set_fault(Fault::None);
    };
    let (slow, ()) = tokio::join!(slow, meanwhile);
    for reply in slow {
        assert!([200, 202].contains(&reply.status), "{}", reply.body);
    }
    under_way(0).await;
    client.issue("chat", "room").await.ok(201);
}
