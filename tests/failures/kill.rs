//! Deaths of the process at any moment, and folders that are not what they were.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::support::{Api, Dev, Role};
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};

const ISSUE: &str = "/v1/keyspaces/chat/data-keys";

/// A key that a client was told of.
struct Acknowledged {
    conversation: String,
    answer: Value,
    request_id: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    let mut dev = Dev::start();
    let acknowledged: Arc<Mutex<Vec<Acknowledged>>> = Arc::default();
    for round in 0..10_u64 {
        let load: Vec<_> = (0..4)
            .map(|worker| {
                let name = format!("{round}-{worker}");
                tokio::spawn(issue_until_it_dies(
                    dev.api(Role::MessageServer),
                    name,
                    Arc::clone(&acknowledged),
                ))
            })
            .collect();
        let changes = tokio::spawn(change_until_it_dies(dev.api(Role::Operator), round));
        let mut random = [0; 1];
        getrandom::fill(&mut random).unwrap();
        tokio::time::sleep(Duration::from_millis(20 + u64::from(random[0]))).await;
        // Also looks that no hsm-sim stays behind.
        tokio::task::block_in_place(|| dev.kill());
        for task in load {
            task.await.unwrap();
        }
        changes.await.unwrap();
        tokio::task::block_in_place(|| dev.run());
    }
    let acknowledged = std::mem::take(&mut *acknowledged.lock());
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
    all_open(&dev.api(Role::MessageServer), &acknowledged).await;
    let audit = dev.audit();
    for key in &acknowledged {
        let record = audit.lines().find(|line| line.contains(&key.request_id));
        let record: Value = serde_json::from_str(record.unwrap()).unwrap();
        assert_eq!(record["operation"], "issue");
        assert_eq!(record["keys"].as_array().unwrap().len(), 1);
    }
}

async fn issue_until_it_dies(api: Api, name: String, to: Arc<Mutex<Vec<Acknowledged>>>) {
    for number in 0.. {
        let conversation = format!("{name}-{number}");
        let body = json!({ "conversation": conversation }).to_string();
        let Ok(answer) = api
            .raw(Method::POST, ISSUE, Some("application/json"), body)
            .await
        else {
            return;
        };
        assert_eq!(answer.status(), 201);
        let request_id = answer.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        // One whose body did not arrive is not acknowledged.
        let Ok(answer) = answer.json().await else {
            return;
        };
        to.lock().push(Acknowledged {
            conversation,
            answer,
            request_id,
        });
    }
}

/// New roots and buckets under way when the end comes.
async fn change_until_it_dies(api: Api, round: u64) {
    for number in 0.. {
        let path = format!("/v1/keyspaces/round-{round}-{number}");
        let body = json!({ "retention": format!("{}h", 48 + round), "granularity": "1h",
            "rotation": "30d", "cache_ttl": "5m" });
        let answer = api.raw(
            Method::PUT,
            &path,
            Some("application/json"),
            body.to_string(),
        );
        match answer.await {
            Ok(answer) => assert!(answer.status().is_success() || answer.status() == 503),
            Err(_) => return,
        }
    }
}

async fn all_open(api: &Api, keys: &[Acknowledged]) {
    for some in keys.chunks(1_000) {
        let items: Vec<Value> = some
            .iter()
            .map(|key| json!({ "conversation": key.conversation, "wrapped_key": key.answer["wrapped_key"] }))
            .collect();
        let path = format!("{ISSUE}/unwrap");
        let opened = api.post(&path, &json!({ "items": items })).await.ok(200);
        for (key, opened) in some.iter().zip(opened["items"].as_array().unwrap()) {
            assert_eq!(opened["data_key"], key.answer["data_key"], "{opened}");
        }
    }
}

const REQUESTS: usize = 8;
const ITEMS: usize = 1_000;

/// Large batches under way, in tasks of their own.
fn large_batches(api: &Api) -> Vec<tokio::task::JoinHandle<crate::support::api::Answer>> {
    let items: Vec<Value> = (0..ITEMS)
        .map(|n| json!({ "conversation": n.to_string() }))
        .collect();
    let body = json!({ "items": items });
    let one = || {
        let (api, body) = (api.clone(), body.clone());
        tokio::spawn(async move { api.post(ISSUE, &body).await })
    };
    (0..REQUESTS).map(|_| one()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_answers_what_is_under_way() {
    let mut dev = Dev::start();
    let api = dev.api(Role::MessageServer);
    let keys = async |dev: &Dev| dev.metric("lethe_data_keys_total").await;
    let each = (REQUESTS * ITEMS) as i64;
    // Some are answered and some are not: until a look at the metric happens in between.
    for round in 0.. {
        let load = large_batches(&api);
        let begun = round * each;
        crate::support::eventually("requests have begun", async || keys(&dev).await > begun).await;
        let under_way = keys(&dev).await < begun + each;
        if under_way {
            let stopping = tokio::task::spawn_blocking(move || dev.stop());
            for task in load {
                let answer = task.await.unwrap().ok(200);
                assert_eq!(answer["items"].as_array().unwrap().len(), ITEMS);
            }
            stopping.await.unwrap();
            return;
        }
        for task in load {
            task.await.unwrap();
        }
        assert!(round < 50, "all were answered before the stop, every time");
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap().map(|entry| entry.unwrap()) {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => copy(&entry.path(), &target),
            kind if kind.is_file() => drop(std::fs::copy(entry.path(), target).unwrap()),
            // Sockets are the device's.
            _ => {}
        }
    }
}

const DATABASE: [&str; 3] = ["lethe.db", "lethe.db-wal", "lethe.db-shm"];

fn move_database(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in DATABASE {
        let _ = std::fs::remove_file(to.join(name));
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_database_halts_and_destroys_nothing() {
    let mut dev = Dev::start();
    dev.stop();
    let (old, right) = (dev.scratch().join("old"), dev.scratch().join("right"));
    move_database(&dev.dir(), &old);
    dev.run();
    dev.api(Role::Operator)
        .set_keyspace("new", "48h", "1h")
        .await
        .ok(201);
    let wrapped = dev
        .api(Role::MessageServer)
        .issue("new", "room")
        .await
        .text("wrapped_key");
    dev.stop();
    move_database(&dev.dir(), &right);

    move_database(&old, &dev.dir());
    let before = dev.objects();
    for _ in 0..2 {
        let status = dev.try_run().unwrap_err();
        assert_eq!(status.code(), Some(3), "{}", dev.log());
        assert!(
            dev.log()
                .lines()
                .last()
                .unwrap()
                .starts_with("lethe: halted"),
            "{}",
            dev.log()
        );
        assert_eq!(dev.objects(), before);
    }

    move_database(&right, &dev.dir());
    dev.run();
    dev.api(Role::MessageServer)
        .unwrap("new", "room", &wrapped)
        .await
        .ok(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_on_the_same_hsm_halts_at_the_claim() {
    let mut dev = Dev::start();
    let wrapped = dev
        .api(Role::MessageServer)
        .issue("chat", "room")
        .await
        .text("wrapped_key");
    dev.stop();
    let staging = dev.scratch().join("staging");
    copy(&dev.dir(), &staging);
    let _daemon = dev.serve_device();
    let before = dev.objects();
    let config = staging.join("lethe.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let socket = dev.dir().join("hsm/hsm.sock");
    let text = text.replace("./hsm/hsm.sock", socket.to_str().unwrap());
    std::fs::write(&config, text).unwrap();
    let output = crate::support::lethe(&["serve", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("claim"), "{said}");
    assert_eq!(dev.objects(), before);
    drop(_daemon);
    dev.run();
    dev.api(Role::MessageServer)
        .unwrap("chat", "room", &wrapped)
        .await
        .ok(200);
}
