//! Key versions come by themselves and on command, and go with their last bucket.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::{Value, json};
use support::{Api, Dev, Role, eventually, refused};

const CHAT: &str = "/v1/keyspaces/chat";

fn settings(rotation: &str, minimum: Option<u64>) -> Value {
    let mut settings = json!({ "retention": "3s", "granularity": "1s", "rotation": rotation,
        "cache_ttl": "1s" });
    if let Some(minimum) = minimum {
        settings["minimum_version"] = minimum.into();
    }
    settings
}

async fn versions(api: &Api, path: &str) -> Vec<u64> {
    let shown = api.get(path).await.ok(200);
    let versions = shown["versions"].as_array().unwrap().iter();
    versions.map(|it| it["version"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_rotate_by_age_and_go_with_their_last_bucket() {
    let mut dev = Dev::start();
    let operator = dev.api(Role::Operator);
    let path = "/v1/keyspaces/brief";
    let short = operator.put(path, &settings("500ms", None)).await;
    refused(&short, 400, "invalid_request");
    assert!(short.text("detail").contains("rotation"), "{}", short.body);
    operator.put(path, &settings("1s", None)).await.ok(201);
    let api = dev.api(Role::MessageServer);
    eventually("the first versions are gone", async || {
        // What is issued opens until it expires, whatever rotates meanwhile.
        let issued = api.issue("brief", "room").await.ok(201);
        let wrapped = issued["wrapped_key"].as_str().unwrap();
        let opened = api.unwrap("brief", "room", wrapped).await;
        // A machine that stands still for seconds makes it expire.
        if opened.code() != "expired" {
            assert_eq!(opened.ok(200)["data_key"], issued["data_key"]);
        }
        let versions = versions(&operator, path).await;
        assert!(versions.len() <= 8, "{versions:?}");
        versions[0] > 2
    })
    .await;
    dev.stop();
    dev.run();
    assert!(versions(&dev.api(Role::Operator), path).await[0] > 2);
    dev.api(Role::MessageServer)
        .issue("brief", "room")
        .await
        .ok(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raised_minimum_refuses_older_versions_for_good() {
    let mut dev = Dev::start();
    let (api, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    let old = api.issue("chat", "room").await.text("wrapped_key");
    operator
        .post_bytes(&format!("{CHAT}/versions"), "")
        .await
        .ok(201);
    let moved = api.rewrap("chat", "room", &old).await.text("wrapped_key");
    let with = |minimum: u64| {
        json!({ "retention": "72h", "granularity": "1h", "rotation": "30d", "cache_ttl": "5m",
            "minimum_version": minimum })
    };
    refused(&operator.put(CHAT, &with(3)).await, 409, "conflict");
    refused(&operator.put(CHAT, &with(0)).await, 400, "invalid_request");
    let shown = operator.put(CHAT, &with(2)).await.ok(200);
    assert_eq!(shown["minimum_version"], 2);
    refused(&operator.put(CHAT, &with(1)).await, 409, "conflict");
    dev.stop();
    dev.run();
    let (api, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    refused(
        &api.unwrap("chat", "room", &old).await,
        410,
        "version_retired",
    );
    refused(
        &api.rewrap("chat", "room", &old).await,
        410,
        "version_retired",
    );
    api.unwrap("chat", "room", &moved).await.ok(200);
    // A setting that is not named stays.
    operator.set_keyspace("chat", "72h", "1h").await.ok(200);
    refused(
        &api.unwrap("chat", "room", &old).await,
        410,
        "version_retired",
    );
    operator.delete(&format!("{CHAT}/versions/1")).await.ok(200);
    let refusal = operator
        .put("/v1/keyspaces/new", &settings("30d", Some(2)))
        .await;
    refused(&refusal, 409, "conflict");
}
