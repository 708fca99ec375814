//! Raising a keyspace's smallest version makes old keys unreadable at once, and cannot be undone: it
//! waits for a second operator, as their destruction does, where the configuration says so.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::{Value, json};
use support::api::Answer;
use support::approvals::{
    CHAT, SECOND, approve, give_by_hand, key, listed, records, second, state, waits, with,
};
use support::{Api, Role, eventually, lethe, refused};

async fn set(operator: &Api, retention: &str, minimum: Option<u32>) -> Answer {
    let mut settings = json!({ "retention": retention, "granularity": "1h", "rotation": "30d",
        "cache_ttl": "5m" });
    if let Some(minimum) = minimum {
        settings["minimum_version"] = minimum.into();
    }
    operator.put(CHAT, &settings).await
}

async fn rotate(operator: &Api) {
    let path = format!("{CHAT}/versions");
    operator.post_bytes(&path, "").await.ok(201);
}

async fn minimum(operator: &Api) -> Value {
    operator.get(CHAT).await.ok(200)["minimum_version"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_versions_are_refused_by_two() {
    let mut dev = with("minimum_version = true\n");
    let (api, first, second) = (
        dev.api(Role::MessageServer),
        dev.api(Role::Operator),
        second(&dev),
    );
    let old = key(&api, "chat", "room").await;
    rotate(&first).await;
    rotate(&first).await;
    let id = waits(&set(&first, "72h", Some(2)).await);
    assert_eq!(waits(&set(&first, "72h", Some(2)).await), id);
    let shown = &listed(&second).await[0];
    assert_eq!(shown["kind"], "minimum_version");
    assert_eq!(shown["version"], 2);
    // What else is set does not wait with it, and is not lost with it.
    refused(&set(&first, "71h", Some(2)).await, 409, "conflict");
    set(&first, "71h", None).await.ok(200);
    set(&first, "71h", Some(1)).await.ok(200);
    refused(&set(&first, "71h", Some(4)).await, 409, "conflict");
    refused(&approve(&first, &id).await, 403, "forbidden");
    api.unwrap("chat", "room", &old).await.ok(200);
    let done = approve(&second, &id).await.ok(200);
    assert_eq!(
        (&done["name"], &done["minimum_version"]),
        (&json!("chat"), &json!(2))
    );
    assert_eq!(done["retention"], "71h");
    assert_eq!(approve(&second, &id).await.ok(200), done);
    refused(
        &api.unwrap("chat", "room", &old).await,
        410,
        "version_retired",
    );
    set(&first, "71h", Some(2)).await.ok(200);

    let mut command = lethe(&["keyspace", "set", "chat", "--minimum-version", "3", "--dir"]);
    let said = command.arg(dev.dir()).output().unwrap();
    let error = String::from_utf8(said.stderr).unwrap();
    assert!(
        !said.status.success() && error.contains("lethe approve"),
        "{error}"
    );
    let id = listed(&second).await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(minimum(&first).await, 2);
    dev.kill();
    // The second word was on the disk, and the process died.
    give_by_hand(&dev).await;
    dev.run();
    let first = dev.api(Role::Operator);
    eventually("it is carried out", async || minimum(&first).await == 3).await;
    eventually("it is done", async || {
        state(&first, &id).await == "approved"
    })
    .await;
    let record = records(&dev, "carry_out_approval").pop().unwrap();
    assert_eq!(record["client"], SECOND);
    assert_eq!(record["asked_by"], "spiffe://lethe.dev/operator");
    assert_eq!(record["requests"], json!([id]));
}

/// Asked before the version is there, and done after it came: decided where nothing comes in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raise_to_a_version_that_is_just_coming_waits_as_well() {
    let dev = with("minimum_version = true\n");
    let first = dev.api(Role::Operator);
    for version in 2..=7 {
        let mut puts = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let first = first.clone();
            puts.spawn(async move { set(&first, "72h", Some(version)).await });
        }
        rotate(&first).await;
        for answer in puts.join_all().await {
            assert!([202, 409].contains(&answer.status), "{answer:?}");
        }
        assert_eq!(minimum(&first).await, 1);
    }
}
