//! A service that was stopped for a while, or whose machine was booted again.

use std::time::Duration;

use super::{buckets_before, confirm, expires, expiry, is_suspect, shift, start, suspect};
use crate::support::{Role, eventually, refused};

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
