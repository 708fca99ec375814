//! Settings that wait for a second operator: a smallest version that is raised makes old keys unreadable
//! at once, one that is lowered makes them readable again; and what lets anything live longer.

use crate::support::api::Answer;
use crate::support::approvals::{CHAT, SECOND, approve, key, listed, records, start, waits, with};
use crate::support::{Api, Role, lethe, refused};
use serde_json::{Value, json};

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
    let (dev, api, first, second) = start("");
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
    assert_eq!(minimum(&first).await, 2);
    let record = records(&dev, "carry_out_approval").pop().unwrap();
    assert_eq!(record["client"], SECOND);
    assert_eq!(record["asked_by"], "spiffe://lethe.dev/operator");
    assert_eq!(record["requests"], json!([id]));

    // Nothing was destroyed: two operators open the old versions again.
    let lower = waits(&set(&first, "71h", Some(1)).await);
    assert_eq!(minimum(&first).await, 2);
    refused(&approve(&first, &lower).await, 403, "forbidden");
    let done = approve(&second, &lower).await.ok(200);
    assert_eq!(done["minimum_version"], 1);
    api.unwrap("chat", "room", &old).await.ok(200);
    assert_eq!(listed(&second).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lets_anything_live_longer_waits() {
    let (dev, api, first, second) = start("");
    let settings = async |retention: &str, granularity: &str, cache_ttl: &str| {
        let settings = json!({ "retention": retention, "granularity": granularity,
            "rotation": "30d", "cache_ttl": cache_ttl });
        first.put(CHAT, &settings).await
    };
    let longer = waits(&settings("96h", "1h", "5m").await);
    assert_eq!(waits(&settings("96h", "1h", "5m").await), longer);
    let cached = waits(&settings("72h", "1h", "24h").await);
    let coarser = waits(&settings("71h", "4h", "5m").await);
    let shown = first.get(&format!("/v1/approvals/{longer}")).await.ok(200);
    assert_eq!(shown["kind"], "keyspace_settings");
    assert_eq!(shown["keyspace"], "chat");
    assert_eq!(shown["settings"]["retention"], "96h");
    assert_eq!(shown["settings_before"]["retention"], "72h");
    assert_eq!(first.get(CHAT).await.ok(200)["retention"], "72h");
    key(&api, "chat", "room").await;
    refused(&approve(&first, &longer).await, 403, "forbidden");
    let before = dev.metric("lethe_lengthened_keyspaces_total").await;
    let done = approve(&second, &longer).await.ok(200);
    assert_eq!(done["retention"], "96h");
    assert_eq!(approve(&second, &longer).await.ok(200), done);
    assert_eq!(
        dev.metric("lethe_lengthened_keyspaces_total").await,
        before + 1
    );
    // The others were asked for under other settings.
    for id in [&cached, &coarser] {
        refused(&approve(&second, id).await, 409, "conflict");
        let shown = first.get(&format!("/v1/approvals/{id}")).await.ok(200);
        assert_eq!(
            (&shown["state"], &shown["why_void"]),
            (&json!("void"), &json!("outdated"))
        );
    }
    // What is shorter, and what is new, waits for nobody.
    settings("48h", "1h", "1m").await.ok(200);
    first.set_keyspace("new", "96h", "1h").await.ok(201);
}

/// Asked before the version is there, and done after it came: decided where nothing comes in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raise_to_a_version_that_is_just_coming_waits_as_well() {
    let dev = with("");
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
