//! Shreds while the HSM or the store fail: nothing is acknowledged that is not true, nothing else
//! is lost.

use std::time::Duration;

use crate::support::{Api, Dev, Role, eventually, refused};
use sqlx::Connection;

const SHREDS: &str = "/v1/keyspaces/chat/shreds";

fn impatient(text: String) -> String {
    text.replace("token =", "call_timeout = \"1s\"\ntoken =")
}

async fn is_destroyed(api: &Api, id: &str) -> bool {
    let shown = api.get(&format!("{SHREDS}/{id}")).await.ok(200);
    shown["state"] == "destroyed"
}

/// The HSM stops answering after each number of operations: before, during and after the commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hsm_that_stops_at_any_step_only_delays() {
    let dev = Dev::start_with(impatient);
    let api = dev.api(Role::MessageServer);
    let kept = api.issue("chat", "kept").await.text("wrapped_key");
    for step in [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233] {
        let room = format!("room {step}");
        let old = api.issue("chat", &room).await.text("wrapped_key");
        dev.hsm_sim(&["fault", "set", "hang-after", &step.to_string()]);
        let accepted = api.shred_async("chat", &room).await.ok(202);
        let id = accepted["id"].as_str().unwrap();
        refused(&api.unwrap("chat", &room, &old).await, 410, "shredded");
        eventually("the HSM hangs, or was not asked so often", async || {
            dev.device_hangs() || is_destroyed(&api, id).await
        })
        .await;
        api.unwrap("chat", "kept", &kept).await.ok(200);
        dev.hsm_sim(&["fault", "clear", "--all"]);
        eventually("the shred is done", async || is_destroyed(&api, id).await).await;
        refused(&api.unwrap("chat", &room, &old).await, 410, "shredded");
        let next = api.issue("chat", &room).await.text("wrapped_key");
        api.unwrap("chat", &room, &next).await.ok(200);
    }
    api.unwrap("chat", "kept", &kept).await.ok(200);
    let roots = dev.objects();
    let roots = roots.iter().filter(|(label, _)| label.contains("/root/"));
    assert_eq!(roots.count(), 1);
}

/// After 10 s the answer is that it is accepted, never a failure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hsm_that_is_away_is_answered_202() {
    let mut dev = Dev::start_with(impatient);
    let api = dev.api(Role::MessageServer);
    let old = api.issue("chat", "room").await.text("wrapped_key");
    dev.hsm_sim(&["fault", "set", "hang"]);
    let accepted = api.shred("chat", "room").await.ok(202);
    assert_eq!(accepted["state"], "accepted");
    assert!(accepted["receipt"].is_null());
    let id = accepted["id"].as_str().unwrap().to_owned();
    let again = api.shred_as("chat", "room", &id).await.ok(202);
    assert_eq!(again["accepted_at"], accepted["accepted_at"]);
    assert!(!is_destroyed(&api, &id).await);
    assert!(dev.metric("lethe_open_requests").await == 1);
    // It is not forgotten by a crash, either.
    dev.kill();
    dev.run();
    let api = dev.api(Role::MessageServer);
    refused(&api.unwrap("chat", "room", &old).await, 410, "shredded");
    eventually("the shred is done", async || is_destroyed(&api, &id).await).await;
}

/// The check after the destroy finds the key that is still there: no receipt until it is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destroy_that_keeps_the_key_is_found_out() {
    let mut dev = Dev::start();
    let api = dev.api(Role::MessageServer);
    let kept = api.issue("chat", "kept").await.text("wrapped_key");
    dev.hsm_sim(&["fault", "set", "destroy-keeps-key"]);
    let accepted = api.shred_async("chat", "room").await.ok(202);
    let id = accepted["id"].as_str().unwrap().to_owned();
    eventually("readiness tells of the HSM", async || {
        let (_, ready) = dev.ops("/readyz").await;
        ready.to_lowercase().contains("hsm")
    })
    .await;
    assert!(!is_destroyed(&api, &id).await);
    dev.hsm_sim(&["fault", "clear", "--all"]);
    dev.restart();
    let api = dev.api(Role::MessageServer);
    eventually("the shred is done", async || is_destroyed(&api, &id).await).await;
    api.unwrap("chat", "kept", &kept).await.ok(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_hsm_delays_and_a_locked_store_refuses() {
    let dev = Dev::start();
    let api = dev.api(Role::MessageServer);
    dev.hsm_sim(&["fault", "set", "full"]);
    let accepted = api.shred_async("chat", "room").await.ok(202);
    let id = accepted["id"].as_str().unwrap();
    eventually("the HSM has no room", async || {
        let full = r#"lethe_hsm_calls_total{call="create_key",result="full"}"#;
        dev.metric(full).await > 0
    })
    .await;
    assert!(!is_destroyed(&api, id).await);
    dev.hsm_sim(&["fault", "clear", "--all"]);
    eventually("the shred is done", async || is_destroyed(&api, id).await).await;

    let old = api.issue("chat", "locked").await.text("wrapped_key");
    let mut other = dev.database().await;
    let begin = sqlx::raw_sql("BEGIN EXCLUSIVE");
    begin.execute(&mut other).await.unwrap();
    let refusal = api.shred("chat", "locked").await;
    refused(&refusal, 503, "store_unavailable");
    let end = sqlx::raw_sql("ROLLBACK");
    end.execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    // Not accepted is not done: its keys open again.
    eventually("the key opens again", async || {
        api.unwrap("chat", "locked", &old).await.status == 200
    })
    .await;
    api.shred("chat", "locked").await.ok(200);
    refused(&api.unwrap("chat", "locked", &old).await, 410, "shredded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_process_goes_on_in_the_middle_of_a_batch() {
    let dev = Dev::start();
    let api = dev.api(Role::MessageServer);
    dev.hsm_sim(&["fault", "set", "latency-ms", "40"]);
    let accepted = api.shred_async("chat", "room").await.ok(202);
    let id = accepted["id"].as_str().unwrap();
    rustix::process::kill_process(dev.pid(), rustix::process::Signal::STOP).unwrap();
    // How long it is stopped is what is tried.
    tokio::time::sleep(Duration::from_secs(3)).await;
    rustix::process::kill_process(dev.pid(), rustix::process::Signal::CONT).unwrap();
    dev.hsm_sim(&["fault", "clear", "--all"]);
    eventually("the shred is done", async || is_destroyed(&api, id).await).await;
}

/// kill -9 while the HSM holds the batch up at each of its steps: before, during, after the commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_at_any_step_loses_nothing_and_forgets_what_was_accepted() {
    let mut dev = Dev::start();
    let kept = dev.api(Role::MessageServer);
    let kept = kept.issue("chat", "kept").await.text("wrapped_key");
    for step in (0..12).chain([16, 24, 40, 80, 120, 160, 200]) {
        let api = dev.api(Role::MessageServer);
        let room = format!("room {step}");
        let old = api.issue("chat", &room).await.text("wrapped_key");
        dev.hsm_sim(&["fault", "set", "hang-after", &step.to_string()]);
        let accepted = api.shred_async("chat", &room).await.ok(202);
        let id = accepted["id"].as_str().unwrap();
        eventually("the HSM hangs, or was not asked so often", async || {
            dev.device_hangs() || is_destroyed(&api, id).await
        })
        .await;
        // The simulator dies with it, and its faults with the simulator.
        dev.kill();
        dev.run();
        let api = dev.api(Role::MessageServer);
        refused(&api.unwrap("chat", &room, &old).await, 410, "shredded");
        api.unwrap("chat", "kept", &kept).await.ok(200);
        eventually("the shred is done", async || is_destroyed(&api, id).await).await;
        let again = api.shred_as("chat", &room, id).await.ok(200);
        assert_eq!(again["accepted_at"], accepted["accepted_at"]);
        let next = api.issue("chat", &room).await.text("wrapped_key");
        api.unwrap("chat", &room, &next).await.ok(200);
    }
    let roots = dev.objects();
    let roots = roots.iter().filter(|(label, _)| label.contains("/root/"));
    assert_eq!(roots.count(), 1);
}

/// A file system of its own, unmounted with it; none where that takes more rights than the test has.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(at: std::path::PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir(&at).unwrap();
        let mut mount = std::process::Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", size, "lethe-test"])
            .arg(&at);
        mount.status().ok()?.success().then_some(Self(at))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status();
    }
}

/// The disk is full before, and in the middle of, a large batch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_in_a_batch_loses_nothing() {
    let mut dev = Dev::start();
    dev.stop();
    let Some(disk) = SmallDisk::mount(dev.scratch().join("disk"), "size=6m") else {
        eprintln!("skipped: mounting a small file system needs root");
        return;
    };
    let database = disk.0.join("lethe.db");
    std::fs::rename(dev.dir().join("lethe.db"), dev.dir().join("aside.db")).unwrap();
    dev.edit(|text| text.replace("sqlite = \"lethe.db\"", &format!("sqlite = {database:?}")));
    // A deployment of its own: the old one's claim names another database.
    dev.run();
    let api = dev.api(Role::MessageServer);
    let kept = api.issue("chat", "kept").await.text("wrapped_key");
    let items = |from: usize| -> Vec<serde_json::Value> {
        let rooms = from..from + 1_000;
        let item = |room| serde_json::json!({ "conversation": format!("room {room}") });
        rooms.map(item).collect()
    };
    // Each takes some 2.5 MB: the disk fills in the middle of the second or third.
    let mut refusals = 0;
    let mut accepted = Vec::new();
    for from in [0, 1_000, 2_000, 3_000] {
        let body = serde_json::json!({ "items": items(from) });
        let answer = api.post(SHREDS, &body).await;
        if answer.status == 200 {
            let items = answer.body["items"].as_array().unwrap();
            let ids = items.iter().filter_map(|item| item["id"].as_str());
            accepted.extend(ids.map(str::to_owned));
            refusals += items.iter().filter(|it| it["state"] != "destroyed").count();
        } else {
            refused(&answer, 503, "store_unavailable");
            refusals += 1;
        }
    }
    assert!(
        refusals > 0,
        "the disk was large enough: this shows nothing"
    );
    api.unwrap("chat", "kept", &kept).await.ok(200);
    let grown = std::process::Command::new("mount")
        .args(["-o", "remount,size=200m"])
        .arg(&disk.0)
        .status();
    assert!(grown.unwrap().success());
    for id in accepted {
        eventually("the shred is done", async || is_destroyed(&api, &id).await).await;
    }
    api.unwrap("chat", "kept", &kept).await.ok(200);
    api.shred("chat", "room 5000").await.ok(200);
    dev.stop();
}

/// A keyspace whose erase is accepted is no more, though the HSM is away: nothing is issued, and no
/// change to it is acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyspace_being_erased_takes_no_change() {
    let dev = Dev::start_with(impatient);
    let (api, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    let old = api.issue("chat", "room").await.text("wrapped_key");
    dev.hsm_sim(&["fault", "set", "latency-ms", "120"]);
    let request = operator.request(reqwest::Method::DELETE, "/v1/keyspaces/chat");
    let request = request.header("prefer", "respond-async");
    let erased = crate::support::api::Answer::of(request.send().await.unwrap()).await;
    let erased = erased.ok(202);
    refused(&api.issue("chat", "room").await, 404, "unknown_keyspace");
    refused(
        &api.unwrap("chat", "room", &old).await,
        404,
        "unknown_keyspace",
    );
    let rotated = operator.post_bytes("/v1/keyspaces/chat/versions", "");
    let set = operator.set_keyspace("chat", "48h", "1h");
    let (rotated, set) = (rotated.await, set.await);
    // Either it is being erased, or it is erased by now, or the HSM is too slow to say.
    assert!(
        [404, 409, 503].contains(&rotated.status),
        "{}",
        rotated.body
    );
    assert!([201, 409, 503].contains(&set.status), "{}", set.body);
    dev.hsm_sim(&["fault", "clear", "--all"]);
    let id = erased["id"].as_str().unwrap();
    eventually("the erase is done", async || {
        let shown = operator.get(&format!("{SHREDS}/{id}")).await;
        shown.status == 200 && shown.body["state"] == "destroyed"
    })
    .await;
    assert_ne!(api.unwrap("chat", "room", &old).await.status, 200);
}

/// A client that hangs up right after it has asked is on record all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shred_whose_client_hangs_up_is_on_record() {
    let dev = Dev::start();
    dev.hsm_sim(&["fault", "set", "latency-ms", "150"]);
    let api = dev.api(Role::MessageServer);
    // The connection is there when it matters.
    api.issue("chat", "room").await.ok(201);
    let id = "0190f2a4-7c1e-7b7d-8c7b-0d6f1f2e3a4b";
    let asked = tokio::time::timeout(Duration::from_millis(500), api.shred_as("chat", "room", id));
    assert!(asked.await.is_err(), "it was answered: this shows nothing");
    drop(api);
    dev.hsm_sim(&["fault", "clear", "--all"]);
    let api = dev.api(Role::Operator);
    eventually("the shred is done", async || {
        let shown = api.get(&format!("{SHREDS}/{id}")).await;
        shown.status == 200 && shown.body["state"] == "destroyed"
    })
    .await;
    eventually("it is on record", async || {
        let audit = dev.audit();
        audit
            .lines()
            .any(|line| line.contains(r#""operation":"shred""#) && line.contains(id))
    })
    .await;
}
