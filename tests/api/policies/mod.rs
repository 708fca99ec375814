//! Policies that cannot be, and what a change of policy means.

mod retentions;

use crate::support::api::Answer;
use crate::support::{Dev, Role, refused};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn impossible_policies_are_refused_with_the_reason() {
    let dev = Dev::start();
    let operator = dev.api(Role::Operator);
    let before = dev.objects();
    for (retention, granularity, code, reason) in [
        ("0s", "1s", "invalid_request", "retention"),
        ("0d", "0d", "invalid_request", "retention"),
        ("1h", "0s", "invalid_request", "granularity"),
        (
            "1h",
            "2h",
            "invalid_request",
            "granularity must not be larger than retention",
        ),
        ("1500ms", "1s", "invalid_request", "retention"),
        ("36601d", "1d", "invalid_request", "retention"),
        ("72", "1h", "invalid_request", "retention: a duration is"),
        ("72 h", "1h", "invalid_request", "retention: a duration is"),
        ("-72h", "1h", "invalid_request", "retention: a duration is"),
        ("1e3h", "1h", "invalid_request", "retention: a duration is"),
        ("", "1h", "invalid_request", "retention: a duration is"),
        ("72h", "1w", "invalid_request", "granularity: a duration is"),
        (
            "99999999999999999999d",
            "1h",
            "invalid_request",
            "retention: a duration is",
        ),
    ] {
        let status = 400;
        let answer = operator.set_keyspace("odd", retention, granularity).await;
        refused(&answer, status, code);
        assert!(
            answer.text("detail").contains(reason),
            "{retention} {granularity}: {}",
            answer.body
        );
    }
    // 99,969 s of retention, the bucket in use, 30 ahead: 100,000.
    let many = operator.set_keyspace("odd", "99969s", "1s").await;
    refused(&many, 409, "too_many_buckets");
    assert!(
        many.text("detail").contains("100000 live buckets"),
        "{}",
        many.body
    );
    for body in [
        json!({}),
        json!({ "retention": "72h" }),
        json!({ "retention": 72, "granularity": "1h", "rotation": "30d", "cache_ttl": "5m" }),
        json!({ "retention": "72h", "granularity": "1h", "rotation": "0s", "cache_ttl": "5m" }),
        json!({ "retention": "72h", "granularity": "1h", "rotation": "30d", "cache_ttl": "5m", "x": 1 }),
    ] {
        refused(
            &operator.put("/v1/keyspaces/odd", &body).await,
            400,
            "invalid_request",
        );
    }
    for name in ["ODD", "-odd", "o_d", &"o".repeat(64)] {
        refused(
            &operator.set_keyspace(name, "72h", "1h").await,
            400,
            "invalid_request",
        );
    }
    refused(
        &operator.get("/v1/keyspaces/odd").await,
        404,
        "unknown_keyspace",
    );
    assert_eq!(dev.objects(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hsm_must_have_room_for_all_keyspaces() {
    let dev = Dev::start_with(|text| text.replace("token =", "max_objects = 200\ntoken ="));
    let operator = dev.api(Role::Operator);
    operator.set_keyspace("first", "50h", "1h").await.ok(201);
    let second = operator.set_keyspace("second", "100h", "1h").await;
    refused(&second, 409, "too_many_buckets");
    assert!(second.text("detail").contains("200"), "{}", second.body);
    // A change of what is there is counted once, not twice.
    operator.set_keyspace("first", "60h", "1h").await.ok(200);
    operator.set_keyspace("second", "20h", "1h").await.ok(201);
    dev.api(Role::MessageServer)
        .issue("second", "room")
        .await
        .ok(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_counts_for_new_keys_only() {
    let mut dev = Dev::start();
    let (api, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    operator.set_keyspace("mail", "100h", "1h").await.ok(201);
    let old = api.issue("mail", "room").await.ok(201);
    let wrapped = old["wrapped_key"].as_str().unwrap();
    let changed = operator.set_keyspace("mail", "48h", "2h").await.ok(200);
    assert_eq!(
        (&changed["retention"], &changed["granularity"]),
        (&json!("48h"), &json!("2h"))
    );
    let new = api.issue("mail", "room").await.ok(201);
    assert!(time(&new["expires_at"]) < time(&old["expires_at"]));
    for restarted in [false, true] {
        if restarted {
            dev.stop();
            dev.run();
        }
        let api = dev.api(Role::MessageServer);
        let opened = api.unwrap("mail", "room", wrapped).await.ok(200);
        assert_eq!(opened["expires_at"], old["expires_at"]);
        assert_eq!(opened["data_key"], old["data_key"]);
        // A longer retention does not stretch it either.
        let operator = dev.api(Role::Operator);
        operator.set_keyspace("mail", "200h", "1h").await.ok(200);
        let opened = api.unwrap("mail", "room", wrapped).await.ok(200);
        assert_eq!(opened["expires_at"], old["expires_at"]);
    }
}

fn time(value: &Value) -> jiff::Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// `docs/design.md#p7`. A million of them belong to the benchmark: this is a debug build.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversations_take_no_row() {
    let dev = Dev::start();
    let api = dev.api(Role::MessageServer);
    api.issue("chat", "first").await.ok(201);
    let hour = jiff::Timestamp::now().as_second() / 3_600;
    let before = rows(&dev).await;
    assert!(before > 4);
    for batch in 0..20 {
        let items: Vec<Value> = (0..1_000)
            .map(|n| json!({ "conversation": format!("{batch}-{n}"), "plaintext": false }))
            .collect();
        let body = json!({ "items": items }).to_string();
        let path = "/v1/keyspaces/chat/data-keys";
        let answer = api.raw(Method::POST, path, Some("application/json"), body);
        let answer = Answer::of(answer.await.unwrap()).await.ok(200);
        assert!(answer["items"][999]["wrapped_key"].is_string());
    }
    let after = rows(&dev).await;
    // A bucket an hour, whatever is issued.
    let hours = jiff::Timestamp::now().as_second() / 3_600 - hour;
    // And one that counts what this client did with this key version.
    assert!(after <= before + hours + 1, "{before} {after}");
}

async fn rows(dev: &Dev) -> i64 {
    let mut database = dev.database().await;
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'";
    let tables: Vec<String> = sqlx::query_scalar(tables)
        .fetch_all(&mut database)
        .await
        .unwrap();
    let mut total = 0;
    for table in tables {
        let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM \"{table}\""));
        total += sqlx::query_scalar::<_, i64>(count)
            .fetch_one(&mut database)
            .await
            .unwrap();
    }
    database.close().await.unwrap();
    total
}
