//! A wall clock that jumps: an operator confirms it.

use serde_json::{Value, json};

use super::{DAY, buckets_before, confirm, expires, expiry, is_suspect, shift, start, suspect};
use crate::support::{Dev, Role, eventually, refused};

/// Twice: what it measures then counts down in seconds.
async fn looks_at_what_is_due(dev: &Dev) {
    let left = async || dev.metric("lethe_next_expiry_seconds").await;
    let before = left().await;
    eventually("looks at what is due", async || left().await < before - 1).await;
}

async fn time(dev: &Dev) -> jiff::Timestamp {
    let status = dev.api(Role::Operator).get("/v1/status").await.ok(200);
    status["now"].as_str().unwrap().parse().unwrap()
}

async fn all_wait_for_the_operator(dev: &Dev, wrapped: &str) {
    let api = dev.api(Role::MessageServer);
    refused(&api.issue("chat", "room").await, 503, "clock_suspect");
    refused(
        &api.unwrap("chat", "room", wrapped).await,
        503,
        "clock_suspect",
    );
    refused(
        &api.rewrap("chat", "room", wrapped).await,
        503,
        "clock_suspect",
    );
    let items = json!({ "items": [{ "conversation": "room", "wrapped_key": wrapped }] });
    let path = "/v1/keyspaces/chat/data-keys/unwrap";
    let batch = api.post(path, &items).await.ok(200);
    assert_eq!(batch["items"][0]["error"]["code"], "clock_suspect");
    let (status, text) = dev.ops("/readyz").await;
    assert!(
        status == 503 && text.contains("lethe clock confirm"),
        "{text}"
    );
    let status = dev.api(Role::Auditor).get("/v1/status").await.ok(200);
    assert!(status["clock"].as_str().unwrap().contains("jumped"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_ahead_destroys_nothing_until_it_is_confirmed() {
    let mut dev = start();
    let issued = dev
        .api(Role::MessageServer)
        .issue("chat", "room")
        .await
        .ok(201);
    let wrapped = issued["wrapped_key"].as_str().unwrap();
    let soon = expiry(&issued).as_second() + 10 * DAY / 1_000;
    let before = buckets_before(&dev, soon);
    assert!(!before.is_empty());
    shift(&dev, 100);
    suspect(&dev).await;
    for died in [false, true] {
        if died {
            dev.kill();
            dev.run();
            suspect(&dev).await;
        }
        all_wait_for_the_operator(&dev, wrapped).await;
        looks_at_what_is_due(&dev).await;
        let now = buckets_before(&dev, soon);
        assert!(
            before.iter().all(|it| now.contains(it)),
            "{before:?} {now:?}"
        );
    }
    // What is wanted by a person, and not by the clock, goes on.
    dev.api(Role::Operator).shred("chat", "other").await.ok(200);
    for role in [Role::MessageServer, Role::Auditor] {
        let answer = dev
            .api(role)
            .post_bytes("/v1/clock/confirmations", "")
            .await;
        refused(&answer, 403, "forbidden");
    }
    assert!(is_suspect(&dev).await);

    let confirmed = confirm(&dev);
    assert_eq!(confirmed["was"], "ahead", "{confirmed}");
    assert_eq!(confirmed["now"], confirmed["wall_clock"], "{confirmed}");
    assert!(dev.audit().contains("\"operation\":\"confirm_clock\""));
    eventually("what has expired is destroyed", async || {
        buckets_before(&dev, soon).is_empty()
    })
    .await;
    for died in [false, true] {
        if died {
            dev.kill();
            dev.run();
        }
        let api = dev.api(Role::MessageServer);
        refused(&api.unwrap("chat", "room", wrapped).await, 410, "expired");
        api.issue("chat", "room").await.ok(201);
        assert!(!is_suspect(&dev).await);
        assert_eq!(dev.ops("/readyz").await.0, 200);
    }
    assert_eq!(confirm(&dev)["was"], "trusted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_back_is_confirmed_and_turns_no_time_back() {
    let mut dev = start();
    let api = dev.api(Role::MessageServer);
    let wrapped = api.issue("chat", "room").await.text("wrapped_key");
    let before = time(&dev).await;
    shift(&dev, -100);
    suspect(&dev).await;
    refused(&api.issue("chat", "room").await, 503, "clock_suspect");
    // The time since boot tells that it lives.
    api.unwrap("chat", "room", &wrapped).await.ok(200);
    assert!(time(&dev).await >= before);
    // On the same boot of the machine its clock tells how long the pause is.
    dev.kill();
    dev.run();
    suspect(&dev).await;
    let api = dev.api(Role::MessageServer);
    api.unwrap("chat", "room", &wrapped).await.ok(200);
    refused(&api.issue("chat", "room").await, 503, "clock_suspect");
    // On another one nothing does.
    dev.kill();
    dev.set_boot(2);
    dev.run();
    suspect(&dev).await;
    all_wait_for_the_operator(&dev, &wrapped).await;

    let confirmed = confirm(&dev);
    assert_eq!(confirmed["was"], "behind", "{confirmed}");
    for died in [false, true] {
        if died {
            dev.kill();
            dev.run();
        }
        let api = dev.api(Role::MessageServer);
        api.unwrap("chat", "room", &wrapped).await.ok(200);
        api.issue("chat", "room").await.ok(201);
        assert!(!is_suspect(&dev).await);
        assert!(time(&dev).await >= before);
    }
    // Its lead is known, so a pause counts.
    dev.stop();
    shift(&dev, -95);
    dev.run();
    let api = dev.api(Role::MessageServer);
    refused(&api.unwrap("chat", "room", &wrapped).await, 410, "expired");
    assert!(!is_suspect(&dev).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wall_clock_that_comes_back_serves_again_and_destroys_when_confirmed() {
    let dev = start();
    let (api, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    let settings =
        json!({ "retention": "3s", "granularity": "1s", "rotation": "1s", "cache_ttl": "1s" });
    let path = "/v1/keyspaces/brief";
    operator.put(path, &settings).await.ok(201);
    // Which there are, and since when: their uses change with every call.
    let versions = async || {
        let shown = operator.get(path).await.ok(200);
        let versions = shown["versions"].as_array().unwrap().iter();
        let one = |it: &Value| [it["version"].clone(), it["created_at"].clone()];
        versions.map(one).collect::<Vec<_>>()
    };
    shift(&dev, 100);
    suspect(&dev).await;
    let before = versions().await;
    refused(&api.issue("brief", "room").await, 503, "clock_suspect");
    shift(&dev, 0);
    let issued = api.issue("brief", "room").await.ok(201);
    let wrapped = issued["wrapped_key"].as_str().unwrap();
    api.unwrap("brief", "room", wrapped).await.ok(200);
    let (status, text) = dev.ops("/readyz").await;
    assert!(status == 200 && text.contains("clock confirm"), "{text}");
    eventually("it expires", async || {
        api.unwrap("brief", "room", wrapped).await.code() == "expired"
    })
    .await;
    eventually("the lag is measured", async || {
        dev.metric("lethe_expiry_lag_seconds").await > 0
    })
    .await;
    let soon = expiry(&issued).as_second() + 1;
    assert!(!buckets_before(&dev, soon).is_empty());
    assert_eq!(versions().await, before);
    assert_eq!(confirm(&dev)["was"], "ahead");
    expires(&dev, &api, wrapped, soon).await;
    eventually("key versions rotate again", async || {
        versions().await != before
    })
    .await;
}
