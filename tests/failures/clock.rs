//! A wall clock that jumps, stands still, or was passed over by a pause.
// The wall clock can be put wrong in debug builds alone.
#![cfg(debug_assertions)]

use std::time::Duration;

use crate::support::{Api, Dev, Role, eventually, lethe, refused};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

const DAY: i64 = 86_400_000;

/// A deployment whose wall clock can be put wrong; it believes pauses up to 30 days.
fn start() -> Dev {
    let mut dev = Dev::stopped();
    dev.set_wall_clock("+0");
    dev.run();
    dev
}

fn shift(dev: &Dev, days: i64) {
    dev.set_wall_clock(&format!("{:+}", days * DAY));
}

async fn is_suspect(dev: &Dev) -> bool {
    dev.metric("lethe_clock_suspect").await == 1
}

async fn suspect(dev: &Dev) {
    eventually("the jump is seen", async || is_suspect(dev).await).await;
}

/// Twice: what it measures then counts down in seconds.
async fn looks_at_what_is_due(dev: &Dev) {
    let left = async || dev.metric("lethe_next_expiry_seconds").await;
    let before = left().await;
    eventually("looks at what is due", async || left().await < before - 1).await;
}

/// Buckets in the HSM that die before a time, in seconds.
fn buckets_before(dev: &Dev, time: i64) -> Vec<String> {
    let labels = dev.objects().into_iter().map(|(label, _)| label);
    let expiry = |label: &str| label.trim_matches('"').rsplit('/').next()?.parse().ok();
    labels
        .filter(|label| label.contains("/bucket/"))
        .filter(|label| expiry(label).is_some_and(|expiry: i64| expiry < time))
        .collect()
}

fn confirm(dev: &Dev) -> Value {
    let output = lethe(&["clock", "confirm", "--output", "json", "--dir"])
        .arg(dev.dir())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn time(dev: &Dev) -> jiff::Timestamp {
    let status = dev.api(Role::Operator).get("/v1/status").await.ok(200);
    status["now"].as_str().unwrap().parse().unwrap()
}

fn expiry(issued: &Value) -> jiff::Timestamp {
    issued["expires_at"].as_str().unwrap().parse().unwrap()
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
async fn a_pause_shorter_than_the_gap_is_caught_up() {
    let mut dev = start();
    let issued = dev
        .api(Role::MessageServer)
        .issue("chat", "room")
        .await
        .ok(201);
    let wrapped = issued["wrapped_key"].as_str().unwrap();
    let soon = expiry(&issued).as_second() + 1;
    dev.stop();
    shift(&dev, 20);
    dev.run();
    let api = dev.api(Role::MessageServer);
    refused(&api.unwrap("chat", "room", wrapped).await, 410, "expired");
    api.issue("chat", "room").await.ok(201);
    eventually("what has expired is destroyed", async || {
        buckets_before(&dev, soon).is_empty()
    })
    .await;
    assert!(!is_suspect(&dev).await);
}

/// Issued, expired and destroyed; how it answers then.
async fn expires(dev: &Dev, api: &Api, wrapped: &str, soon: i64) {
    eventually("it expires", async || {
        api.unwrap("brief", "room", wrapped).await.code() == "expired"
    })
    .await;
    eventually("it is destroyed", async || {
        buckets_before(dev, soon).is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wall_clock_that_stands_still_stretches_no_retention() {
    // More than a slow start takes: it is known how long the service was down.
    let mut dev = Dev::start_with(|text| text.replace("\"30d\"", "\"10m\""));
    dev.stop();
    #[allow(clippy::disallowed_methods, reason = "the wall clock to stop")]
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    dev.set_wall_clock(&format!("={}", now.as_millis()));
    dev.run();
    let (api, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    operator.set_keyspace("brief", "3s", "1s").await.ok(201);
    let issued = api.issue("brief", "room").await.ok(201);
    let soon = expiry(&issued).as_second() + 1;
    expires(&dev, &api, issued["wrapped_key"].as_str().unwrap(), soon).await;
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

/// Milliseconds until an instant on the real clock.
fn until(instant: jiff::Timestamp) -> Duration {
    let left = instant.as_millisecond() - jiff::Timestamp::now().as_millisecond();
    Duration::from_millis(u64::try_from(left).unwrap_or(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_with_the_clock_put_back_stretches_no_retention() {
    let mut dev = start();
    let operator = dev.api(Role::Operator);
    operator.set_keyspace("brief", "3s", "1s").await.ok(201);
    for killed in [false, true] {
        let issued = dev.api(Role::MessageServer).issue("brief", "room").await;
        let issued = issued.ok(201);
        if killed {
            dev.kill();
        } else {
            dev.stop();
        }
        tokio::time::sleep(until(expiry(&issued)) + Duration::from_secs(1)).await;
        // Before the stop, and well within what a wall clock may lack.
        dev.set_wall_clock("-60000");
        dev.run();
        let api = dev.api(Role::MessageServer);
        let wrapped = issued["wrapped_key"].as_str().unwrap();
        refused(&api.unwrap("brief", "room", wrapped).await, 410, "expired");
        assert!(!is_suspect(&dev).await);
        expires(&dev, &api, wrapped, expiry(&issued).as_second() + 1).await;
    }
}

/// On another boot of the machine, where nobody knows how long the service was down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_as_expired_stays_refused() {
    let mut dev = start();
    let operator = dev.api(Role::Operator);
    operator.set_keyspace("brief", "3s", "1s").await.ok(201);
    for doubted in [false, true] {
        let api = dev.api(Role::MessageServer);
        let wrapped = api.issue("brief", "room").await.text("wrapped_key");
        if doubted {
            shift(&dev, 100);
            suspect(&dev).await;
        }
        // The instant at which it is refused; nothing is written down because of the time then.
        eventually("it expires", async || {
            api.unwrap("brief", "room", &wrapped).await.code() == "expired"
        })
        .await;
        dev.kill();
        dev.set_boot(if doubted { 3 } else { 2 });
        dev.set_wall_clock("-60000");
        dev.run();
        let api = dev.api(Role::MessageServer);
        refused(&api.unwrap("brief", "room", &wrapped).await, 410, "expired");
        assert!(!is_suspect(&dev).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_may_want_to_confirm_the_time_after_each_reboot() {
    let mut dev = start();
    let api = dev.api(Role::MessageServer);
    let wrapped = api.issue("chat", "room").await.text("wrapped_key");
    dev.edit(|text| {
        text.replace(
            "max_gap = \"30d\"",
            "max_gap = \"30d\"\nafter_reboot = \"confirm\"",
        )
    });
    dev.restart();
    assert!(!is_suspect(&dev).await);
    dev.stop();
    dev.set_boot(2);
    for _ in 0..2 {
        dev.run();
        suspect(&dev).await;
        let api = dev.api(Role::MessageServer);
        refused(&api.issue("chat", "room").await, 503, "clock_suspect");
        let opened = api.unwrap("chat", "room", &wrapped).await;
        refused(&opened, 503, "clock_suspect");
        let (status, text) = dev.ops("/readyz").await;
        assert!(status == 503 && text.contains("how long"), "{text}");
        // Another start on this boot does not know it either.
        dev.stop();
    }
    dev.run();
    assert_eq!(confirm(&dev)["was"], "rebooted");
    for _ in 0..2 {
        let api = dev.api(Role::MessageServer);
        api.unwrap("chat", "room", &wrapped).await.ok(200);
        api.issue("chat", "room").await.ok(201);
        assert!(!is_suspect(&dev).await);
        dev.restart();
    }
}

/// Batches under way, in tasks of their own.
fn batches(api: &Api) -> Vec<tokio::task::JoinHandle<crate::support::api::Answer>> {
    let items: Vec<Value> = (0..1_000)
        .map(|room| json!({ "conversation": room.to_string() }))
        .collect();
    let body = json!({ "items": items });
    let one = || {
        let (api, body) = (api.clone(), body.clone());
        tokio::spawn(async move { api.post("/v1/keyspaces/brief/data-keys", &body).await })
    };
    (0..4).map(|_| one()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_expires_on_its_way_out_stays() {
    let dev = start();
    let (api, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    operator.set_keyspace("brief", "2s", "1s").await.ok(201);
    // Stopped somewhere between the key and its answer: until it happened to one.
    for round in 0.. {
        let load = batches(&api);
        tokio::time::sleep(Duration::from_millis(20 + 30 * round)).await;
        kill_process(dev.pid(), Signal::STOP).unwrap();
        // Until all that is issued by now has expired.
        tokio::time::sleep(Duration::from_secs(3)).await;
        kill_process(dev.pid(), Signal::CONT).unwrap();
        let mut caught = false;
        for answer in load {
            // Others were answered before, or begin now.
            caught |= answer.await.unwrap().code() == "expired";
        }
        if caught {
            return;
        }
        assert!(round < 10, "never stopped at the right moment");
    }
}
