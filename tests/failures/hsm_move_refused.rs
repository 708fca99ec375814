//! Moves that must not begin, and what keeps one from going on: nothing is lost either way.

use crate::support::{Api, Dev, Role, eventually, lethe, refused};
use serde_json::Value;

const MOVES: &str = "/v1/hsm/moves";

async fn works(dev: &Dev, key: &Value) {
    let api = dev.api(Role::MessageServer);
    let wrapped = key["wrapped_key"].as_str().unwrap();
    let opened = api.unwrap("chat", "room", wrapped).await.ok(200);
    assert_eq!(opened["data_key"], key["data_key"]);
    api.issue("chat", "gone").await.ok(201);
    api.shred("chat", "gone").await.ok(200);
}

async fn state(operator: &Api) -> Value {
    operator.get(MOVES).await.ok(200)["state"].clone()
}

/// A deployment that could move to SoftHSM2, with a key.
async fn prepared(extra: &str) -> (Dev, Value) {
    let mut dev = Dev::start();
    let key = dev
        .api(Role::MessageServer)
        .issue("chat", "room")
        .await
        .ok(201);
    refused(&dev.api(Role::Operator).order(MOVES).await, 409, "conflict");
    dev.stop();
    dev.make_softhsm();
    dev.configure_softhsm(extra);
    (dev, key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_away_is_no_reason_not_to_serve() {
    let (mut dev, key) = prepared("").await;
    let tokens = dev.dir().join("softhsm");
    let away = dev.dir().join("away");
    std::fs::rename(&tokens, &away).unwrap();
    std::fs::create_dir(&tokens).unwrap();
    dev.run();
    let (status, readiness) = dev.ops("/readyz").await;
    assert_eq!(status, 200);
    assert!(readiness.contains("the HSM of [hsm_next]"), "{readiness}");
    let operator = dev.api(Role::Operator);
    refused(&operator.order(MOVES).await, 503, "hsm_unavailable");
    assert_eq!(state(&operator).await, "ready");
    works(&dev, &key).await;
    dev.stop();
    std::fs::remove_dir(&tokens).unwrap();
    std::fs::rename(&away, &tokens).unwrap();
    dev.run();
    assert!(dev.rotate_hsm("next.toml").status.success());
    works(&dev, &key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_with_too_little_room_is_refused() {
    let (mut dev, key) = prepared("max_objects = 10").await;
    dev.run();
    let operator = dev.api(Role::Operator);
    refused(&operator.order(MOVES).await, 409, "too_many_buckets");
    assert_eq!(state(&operator).await, "ready");
    works(&dev, &key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_another_deployment_is_refused() {
    let (mut dev, key) = prepared("").await;
    // Another store makes itself at home there.
    let text = std::fs::read_to_string(dev.dir().join("next.toml")).unwrap();
    let other = text.replace("\"lethe.db\"", "\"other.db\"");
    std::fs::write(dev.dir().join("other.toml"), other).unwrap();
    let init = lethe(&["init", "--config"])
        .arg(dev.dir().join("other.toml"))
        .output();
    assert!(init.unwrap().status.success());
    dev.run();
    let operator = dev.api(Role::Operator);
    let answer = operator.order(MOVES).await;
    refused(&answer, 409, "conflict");
    assert!(
        answer.text("detail").contains("another deployment"),
        "{}",
        answer.body
    );
    assert_eq!(state(&operator).await, "ready");
    works(&dev, &key).await;
}

/// There and back: the simulator can be full and away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_or_away_half_way_it_waits_and_goes_on() {
    let (mut dev, key) = prepared("").await;
    dev.run();
    assert!(dev.rotate_hsm("next.toml").status.success());
    dev.stop();
    dev.turn_hsms();
    dev.run();
    let operator = dev.api(Role::Operator);
    // Room for claim and signing keys alone.
    dev.hsm_sim(&["fault", "set", "object-limit", "6"]);
    operator.order(MOVES).await.ok(202);
    let trouble = async |what: &str| {
        let told = operator.get(MOVES).await.ok(200);
        assert_eq!(told["state"], "moving");
        told["trouble"].as_str().is_some_and(|it| it.contains(what))
    };
    eventually("it is full", async || trouble("full").await).await;
    works(&dev, &key).await;
    operator.set_keyspace("new", "50h", "1h").await.ok(201);
    dev.api(Role::MessageServer)
        .issue("new", "room")
        .await
        .ok(201);
    dev.hsm_sim(&["fault", "set", "device-removed"]);
    dev.hsm_sim(&["fault", "clear", "object-limit"]);
    eventually("it is away", async || trouble("does not answer").await).await;
    let api = dev.api(Role::MessageServer);
    let wrapped = key["wrapped_key"].as_str().unwrap();
    api.unwrap("chat", "room", wrapped).await.ok(200);
    api.issue("chat", "gone").await.ok(201);
    let shred = api.shred_async("chat", "gone").await;
    assert_eq!(shred.status, 202);
    dev.hsm_sim(&["fault", "clear", "device-removed"]);
    eventually("it is done", async || state(&operator).await == "moved").await;
    works(&dev, &key).await;
}
