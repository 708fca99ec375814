//! A wall clock that jumps, stands still, or was passed over by a pause.
// The wall clock can be put wrong in debug builds alone.
#![cfg(debug_assertions)]

mod expiry;
mod jumps;
mod restarts;

use serde_json::Value;

use crate::support::{Api, Dev, eventually, lethe};

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

fn expiry(issued: &Value) -> jiff::Timestamp {
    issued["expires_at"].as_str().unwrap().parse().unwrap()
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
