//! Keys expire at their time, whatever the wall clock and the process do.

use std::time::Duration;

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use super::{expires, expiry, is_suspect, start};
use crate::support::{Api, Dev, Role};

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
