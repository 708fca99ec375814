//! Key versions come by themselves and on command, and go with their last bucket.

use crate::support::{Api, Dev, Role, eventually, lethe, refused};
use serde_json::{Value, json};

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

/// Whether a version is still used, and by whom: over a stop, and without a row for a conversation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_use_of_each_version_is_shown_by_client() {
    let mut dev = Dev::start();
    let (api, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    let old = api.issue("chat", "room").await.text("wrapped_key");
    let more = json!({ "items": [{ "conversation": "room" }, { "conversation": "hall" }] });
    let data_keys = format!("{CHAT}/data-keys");
    api.post(&data_keys, &more).await.ok(200);
    let rotate = operator.post_bytes(&format!("{CHAT}/versions"), "").await;
    rotate.ok(201);
    api.issue("chat", "room").await.ok(201);
    api.unwrap("chat", "room", &old).await.ok(200);
    refused(
        &api.unwrap("chat", "hall", &old).await,
        400,
        "invalid_wrapped_key",
    );
    api.rewrap("chat", "room", &old).await.ok(200);
    for restarted in [false, true] {
        if restarted {
            dev.stop();
            dev.run();
        }
        let shown = dev.api(Role::MessageServer).get(CHAT).await.ok(200);
        let [first, second] = [&shown["versions"][0], &shown["versions"][1]];
        assert_eq!(
            (&first["issued"], &first["unwrapped"]),
            (&json!(3), &json!(1))
        );
        assert_eq!(
            (&second["issued"], &second["unwrapped"]),
            (&json!(1), &json!(0))
        );
        let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        assert!(time(&first["last_unwrapped_at"]) >= time(&second["last_issued_at"]));
        assert!(time(&first["last_issued_at"]) <= time(&second["created_at"]));
        assert!(second.get("last_unwrapped_at").is_none());
        let status = dev.api(Role::Auditor).get("/v1/status").await.ok(200);
        let versions = &status["keyspaces"][0]["key_versions"];
        let clients = versions[0]["clients"].as_array().unwrap();
        assert_eq!(clients.len(), 1);
        let client = clients[0]["client"].as_str().unwrap();
        assert!(client.ends_with("/message-server"), "{client}");
        assert_eq!(clients[0]["last_unwrapped_at"], first["last_unwrapped_at"]);
    }
    let mut command = lethe(&["status", "--dir"]);
    let status = command.arg(dev.dir()).output().unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("3 issued, last at"), "{status}");
    operator.delete(&format!("{CHAT}/versions/1")).await.ok(200);
    let shown = operator.get(CHAT).await.ok(200);
    assert_eq!(shown["versions"].as_array().unwrap().len(), 1);
    assert_eq!(shown["versions"][0]["issued"], 1);
}

const ID: &str = "0190f2a4-7c1e-7b7d-8c7b-0d6f1f2e3a4b";

/// With the version that a shred was accepted under everything goes that was made of its keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_stays_that_of_its_conversation_when_the_version_is_gone() {
    let mut dev = Dev::start();
    let (api, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    let bobs = api.issue("chat", "bob").await.text("wrapped_key");
    let first = api.shred_as("chat", "alice", ID).await.ok(200);
    let path = format!("{CHAT}/versions");
    operator.post_bytes(&path, "").await.ok(201);
    let bobs = api.rewrap("chat", "bob", &bobs).await.text("wrapped_key");
    operator.delete(&format!("{path}/1")).await.ok(200);
    for restarted in [false, true] {
        if restarted {
            dev.restart();
        }
        let api = dev.api(Role::MessageServer);
        refused(&api.shred_as("chat", "bob", ID).await, 409, "conflict");
        api.unwrap("chat", "bob", &bobs).await.ok(200);
        // Whom the receipt speaks of can still be shown.
        let again = api.shred_as("chat", "alice", ID).await.ok(200);
        assert_eq!(again, first);
        assert!(again["opening"].is_object(), "{again}");
    }
}

fn expiry(issued: &Value) -> jiff::Timestamp {
    issued["expires_at"].as_str().unwrap().parse().unwrap()
}

/// Until the new version is there the old one issues on, however long the HSM takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_waits_for_the_hsm_drops_no_live_key() {
    let dev = Dev::start();
    let operator = dev.api(Role::Operator);
    let path = "/v1/keyspaces/brief";
    let brief =
        json!({ "retention": "6s", "granularity": "1s", "rotation": "30d", "cache_ttl": "1s" });
    operator.put(path, &brief).await.ok(201);
    let api = dev.api(Role::MessageServer);
    dev.hsm_sim(&["fault", "set", "hang"]);
    let asked = dev.api(Role::Operator);
    let rotate = format!("{path}/versions");
    let rotated = tokio::spawn(async move { asked.post_bytes(&rotate, "").await.status });
    let first = expiry(&api.issue("brief", "room").await.ok(201));
    let last = loop {
        let issued = api.issue("brief", "room").await.ok(201);
        if expiry(&issued).as_second() >= first.as_second() + 4 {
            break issued;
        }
        tokio::task::yield_now().await;
    };
    dev.hsm_sim(&["fault", "clear", "--all"]);
    assert_eq!(rotated.await.unwrap(), 201);
    let wrapped = last["wrapped_key"].as_str().unwrap();
    loop {
        let opened = api.unwrap("brief", "room", wrapped).await;
        if opened.code() == "expired" {
            break;
        }
        opened.ok(200);
    }
    // And it does go, with its last bucket.
    eventually("the first version is gone", async || {
        versions(&operator, path).await == [2]
    })
    .await;
}
