//! `GET /v1/status` and `lethe status`: what a seizure now would find.

use std::time::Duration;

use crate::support::{Api, Dev, Role, eventually, lethe, refused};
use serde_json::{Value, json};

async fn status(api: &Api) -> Value {
    let answer = tokio::time::timeout(Duration::from_secs(2), api.get("/v1/status")).await;
    answer.expect("it answers at once").ok(200)
}

fn keyspace<'a>(status: &'a Value, name: &str) -> &'a Value {
    let mut keyspaces = status["keyspaces"].as_array().unwrap().iter();
    keyspaces.find(|it| it["name"] == name).unwrap()
}

fn time(value: &Value) -> i64 {
    let time: jiff::Timestamp = value.as_str().unwrap().parse().unwrap();
    time.as_millisecond()
}

fn shown(dev: &Dev, words: &[&str]) -> String {
    let mut command = lethe(&["status"]);
    let output = command.args(words).arg("--dir").arg(dev.dir()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_tells_keys_device_and_nodes() {
    let dev = Dev::start();
    let operator = dev.api(Role::Operator);
    for room in ["a", "b", "b"] {
        operator.shred("chat", room).await.ok(200);
    }
    operator
        .post("/v1/keyspaces/chat/versions", &json!({}))
        .await
        .ok(201);
    // The device is looked at every five seconds.
    eventually("the device was seen", async || {
        status(&operator).await["hsm_device"]["objects"] == dev.objects().len()
    })
    .await;
    let told = status(&operator).await;
    let now = time(&told["now"]);

    let chat = keyspace(&told, "chat");
    assert_eq!(chat["versions"], json!([1, 2]));
    let versions = chat["key_versions"].as_array().unwrap();
    assert_eq!(versions[0]["forgotten"], 3);
    assert_eq!(versions[1]["forgotten"], 0);
    assert!(versions[0]["age_seconds"].as_u64().unwrap() < 600);
    // No message is older than the keyspace.
    assert_eq!(chat["oldest_readable"], versions[0]["created_at"]);
    assert!(chat.get("earlier_settings_until").is_none());
    let buckets = chat["buckets"].as_array().unwrap();
    assert_eq!(buckets.len() as u64, chat["live_buckets"].as_u64().unwrap());
    for bucket in buckets {
        let left = (time(&bucket["expires_at"]) - now) / 1_000;
        assert_eq!(bucket["seconds_left"].as_i64().unwrap(), left);
        assert!(left > 72 * 3_600 - 1 && bucket["count"] == 1);
    }

    let device = &told["hsm_device"];
    assert_eq!(device["reachable"], true);
    assert_eq!(device["max_objects"], 20_000);
    assert!(device["model"].as_str().unwrap().contains("hsm-sim"));
    assert_eq!(told["nodes"].as_array().unwrap().len(), 1);
    let node = &told["nodes"][0];
    assert!(node["connections"].as_u64().unwrap() >= 1);
    assert!(node["requests_under_way"].as_u64().unwrap() >= 1);
    assert!(time(&node["started_at"]) <= now);
    assert_eq!(told["clock_state"], "trusted");
    assert_eq!(told["waiting_approvals"], 0);
    for field in ["hsm", "store", "audit", "clock"] {
        assert_eq!(told[field], "ok");
    }

    assert_eq!(
        status(&dev.api(Role::Auditor)).await["keyspaces"][0]["name"],
        "chat"
    );
    let server = dev.api(Role::MessageServer).get("/v1/status").await;
    refused(&server, 403, "forbidden");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn for_people_it_is_plain_where_there_is_no_terminal_and_json_for_programs() {
    let dev = Dev::start();
    let printed: Value = serde_json::from_str(&shown(&dev, &["--output", "json"])).unwrap();
    assert_eq!(keyspace(&printed, "chat")["versions"], json!([1]));
    let text = shown(&dev, &[]);
    for said in [
        "chat: messages readable back to ",
        "buckets live  now |",
        "version 1: ",
        "on time",
        "nothing waits",
        "node",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_expired_is_there_until_it_is_destroyed() {
    let dev = Dev::start();
    let operator = dev.api(Role::Operator);
    operator.set_keyspace("brief", "2s", "1s").await.ok(201);
    let message_server = dev.api(Role::MessageServer);
    message_server.issue("brief", "room").await.ok(201);
    let oldest = async || time(&keyspace(&status(&operator).await, "brief")["oldest_readable"]);
    let begun = oldest().await;
    eventually("the first bucket is gone", async || oldest().await > begun).await;
    // Retention, granularity, its margin, and what the reaper takes.
    eventually("expiry is on time", async || {
        let told = status(&operator).await;
        let brief = time(&keyspace(&told, "brief")["oldest_readable"]);
        time(&told["now"]) - brief < 3_016 + 1_000
            && told["overdue_buckets"] == 0
            && told["expiry_lag_seconds"] == 0
    })
    .await;

    // Without the HSM nothing can be destroyed: a seizure would find more and more.
    dev.hsm_sim(&["fault", "set", "device-removed"]);
    eventually("buckets are overdue", async || {
        let told = status(&operator).await;
        let brief = time(&keyspace(&told, "brief")["oldest_readable"]);
        told["overdue_buckets"].as_u64().unwrap() >= 2
            && told["expiry_lag_seconds"].as_u64().unwrap() >= 2
            && time(&told["now"]) - brief > 5_000
    })
    .await;
    let told = status(&operator).await;
    assert_eq!(told["hsm_device"]["reachable"], false, "{told}");
    assert_eq!(dev.metric("lethe_hsm_up").await, 0);
    assert_eq!(dev.metric("lethe_store_up").await, 1);
    assert_ne!(told["hsm"], "ok");
    let text = shown(&dev, &[]);
    assert!(text.contains("buckets overdue, the oldest by"), "{text}");
    dev.hsm_sim(&["fault", "clear", "--all"]);
    eventually("all is well again", async || {
        let told = status(&operator).await;
        told["overdue_buckets"] == 0 && told["hsm_device"]["reachable"] == true
    })
    .await;
    assert_eq!(dev.metric("lethe_hsm_up").await, 1);
    let objects = dev.metric("lethe_hsm_objects").await;
    assert!((6..60).contains(&objects), "{objects}");
    assert_eq!(dev.metric("lethe_hsm_objects_max").await, 20_000);
    assert!(dev.metric("process_resident_memory_bytes").await > 1 << 20);
    let (_, metrics) = dev.ops("/metrics").await;
    for begun in [
        r#"lethe_requests_total{operation="shred",code="quota_exceeded"} 0"#,
        r#"lethe_requests_total{operation="status",code="audit_unavailable"} 0"#,
    ] {
        assert!(metrics.contains(begun), "{begun}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_answers_at_once_while_the_hsm_hangs() {
    let dev = Dev::start();
    let operator = dev.api(Role::Operator);
    // Accepted, and waiting for the device: 202 as soon as it is asked for.
    dev.hsm_sim(&["fault", "set", "hang"]);
    let shred = operator.shred_async("chat", "room").await;
    assert_eq!(shred.status, 202);
    eventually("the device is away and a shred waits", async || {
        let told = status(&operator).await;
        told["hsm_device"]["reachable"] == false
            && told["open_requests"] == 1
            && told["oldest_open_request_seconds"].as_u64().unwrap() >= 1
    })
    .await;
    assert!(shown(&dev, &[]).contains("1 request open"));
    dev.hsm_sim(&["fault", "clear", "--all"]);
    eventually("nothing waits any more", async || {
        status(&operator).await["open_requests"] == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn earlier_settings_are_said() {
    let dev = Dev::start();
    let operator = dev.api(Role::Operator);
    operator.set_keyspace("chat", "1h", "1m").await.ok(200);
    let told = status(&operator).await;
    let until = time(&keyspace(&told, "chat")["earlier_settings_until"]);
    assert!(until - time(&told["now"]) > 71 * 3_600_000);
    let text = shown(&dev, &[]);
    let said = "keys issued under earlier settings may open until";
    assert!(text.contains(said), "{text}");
    // A key of before may be as old as the keyspace.
    let chat = keyspace(&told, "chat");
    let first = &chat["key_versions"][0]["created_at"];
    assert_eq!(&chat["oldest_readable"], first);
}
