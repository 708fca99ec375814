//! Data keys over the API: what goes round, and every kind of bad input.

use std::time::Duration;

use crate::support::api::Answer;
use crate::support::{Api, Dev, Role, eventually, refused};
use reqwest::Method;
use serde_json::{Value, json};

const ISSUE: &str = "/v1/keyspaces/chat/data-keys";
const UNWRAP: &str = "/v1/keyspaces/chat/data-keys/unwrap";
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_and_bad_requests() {
    let dev = Dev::start();
    let api = dev.api(Role::MessageServer);
    round_trip(&api).await;
    batches(&api).await;
    conversation_ids(&api).await;
    bodies(&api).await;
    routes(&api).await;
    nothing_readable(&dev);
}

async fn round_trip(api: &Api) {
    let issued = api.issue("chat", "private-room-7").await.ok(201);
    let wrapped = issued["wrapped_key"].as_str().unwrap();
    assert!(wrapped.starts_with("lethe:v1:"));
    for _ in 0..2 {
        let opened = api.unwrap("chat", "private-room-7", wrapped).await.ok(200);
        for field in ["conversation", "data_key", "version", "expires_at"] {
            assert_eq!(opened[field], issued[field], "{field}");
        }
    }
    assert_eq!(issued["data_key"].as_str().unwrap().len(), 44);
    let again = api.issue("chat", "private-room-7").await.ok(201);
    assert_ne!(again["data_key"], issued["data_key"]);

    let body = json!({ "conversation": "private-room-7", "plaintext": false });
    let sealed = api.post(ISSUE, &body).await.ok(201);
    assert_eq!(sealed.get("data_key"), None);
    let wrapped = sealed["wrapped_key"].as_str().unwrap();
    api.unwrap("chat", "private-room-7", wrapped).await.ok(200);
}

async fn batches(api: &Api) {
    let bad = 700;
    let mut items: Vec<Value> = (0..1_000)
        .map(|index| json!({ "conversation": format!("room-{index}") }))
        .collect();
    items[bad] = json!({ "conversation": "" });
    let issued = api.post(ISSUE, &json!({ "items": items })).await.ok(200);
    let issued = issued["items"].as_array().unwrap();
    assert_eq!(issued.len(), 1_000);
    assert_eq!(issued[bad]["error"]["code"], "invalid_request");
    for (index, item) in issued.iter().enumerate().filter(|(index, _)| *index != bad) {
        assert_eq!(item["conversation"], format!("room-{index}"));
    }

    let unwrap = |index: usize| {
        let room = if index == bad { 0 } else { index };
        json!({ "conversation": format!("room-{index}"), "wrapped_key": issued[room]["wrapped_key"] })
    };
    let items: Vec<Value> = (0..1_000).map(unwrap).collect();
    let opened = api.post(UNWRAP, &json!({ "items": items })).await.ok(200);
    let opened = opened["items"].as_array().unwrap();
    assert_eq!(opened.len(), 1_000);
    assert_eq!(opened[bad]["error"]["code"], "invalid_wrapped_key");
    for (index, item) in opened.iter().enumerate().filter(|(index, _)| *index != bad) {
        assert_eq!(item["data_key"], issued[index]["data_key"], "{index}");
    }

    let mixed = json!({ "items": [{ "conversation": 7 }, { "conversation": "a", "x": 1 }, { "conversation": "a" }] });
    let mixed = api.post(ISSUE, &mixed).await.ok(200);
    assert_eq!(mixed["items"][0]["error"]["code"], "invalid_request");
    assert_eq!(mixed["items"][1]["error"]["code"], "invalid_request");
    assert_eq!(mixed["items"][2]["conversation"], "a");
    let none = api.post(ISSUE, &json!({ "items": [] })).await;
    refused(&none, 400, "invalid_request");
    let many = vec![json!({ "conversation": "a" }); 1_001];
    let many = api.post(ISSUE, &json!({ "items": many })).await;
    refused(&many, 413, "too_large");
}

async fn conversation_ids(api: &Api) {
    for good in [
        "a",
        " ",
        "é/\\\"\u{1f600}",
        &"x".repeat(256),
        &"é".repeat(128),
    ] {
        let issued = api.issue("chat", good).await.ok(201);
        assert_eq!(issued["conversation"], good);
        let wrapped = issued["wrapped_key"].as_str().unwrap();
        api.unwrap("chat", good, wrapped).await.ok(200);
    }
    // Byte for byte: two spellings of one text are two conversations.
    let composed = api.issue("chat", "\u{e9}").await.text("wrapped_key");
    let decomposed = api.unwrap("chat", "e\u{301}", &composed).await;
    refused(&decomposed, 400, "invalid_wrapped_key");
    let long = "x".repeat(257);
    let wide = "é".repeat(129);
    for bad in ["", &long, &wide, "a\nb", "\0", "\u{7f}", "\u{85}"] {
        refused(&api.issue("chat", bad).await, 400, "invalid_request");
        let opened = api.unwrap("chat", bad, &composed).await;
        refused(&opened, 400, "invalid_request");
    }
    for bad in [
        b"{\"conversation\":\"\xff\xfe\"}".to_vec(),
        b"{\"conversation\":\"\\ud800\"}".to_vec(),
        b"{\"conversation\":\"a\nb\"}".to_vec(),
    ] {
        refused(&api.post_bytes(ISSUE, bad).await, 400, "invalid_request");
    }
}

async fn bodies(api: &Api) {
    let bad: [&str; 12] = [
        "",
        "{",
        "not json",
        "null",
        "7",
        "[]",
        "{}",
        r#"{"conversation":null}"#,
        r#"{"conversation":"a","plaintext":"no"}"#,
        r#"{"conversation":"a","surprise":1}"#,
        r#"{"conversation":"a"} {"conversation":"b"}"#,
        r#"{"items":{"conversation":"a"}}"#,
    ];
    for body in bad {
        let answer = api.post_bytes(ISSUE, body).await;
        refused(&answer, 400, "invalid_request");
        let answer = api.post_bytes(UNWRAP, body).await;
        refused(&answer, 400, "invalid_request");
    }
    let nested = "[".repeat(500_000);
    refused(&api.post_bytes(ISSUE, nested).await, 400, "invalid_request");

    // White space is JSON too: exactly 1 MiB passes, one byte more does not.
    let mut body = br#"{"conversation":"a"}"#.to_vec();
    body.resize(1 << 20, b' ');
    api.post_bytes(ISSUE, body.clone()).await.ok(201);
    body.push(b' ');
    refused(&api.post_bytes(ISSUE, body).await, 413, "too_large");

    let send = |content_type| api.raw(Method::POST, ISSUE, content_type, r#"{"conversation":"a"}"#);
    for bad in [None, Some("text/plain"), Some("application/jsonp")] {
        let answer = Answer::of(send(bad).await.unwrap()).await;
        refused(&answer, 415, "unsupported_media_type");
    }
    let with_charset = send(Some("Application/JSON; charset=utf-8")).await.unwrap();
    Answer::of(with_charset).await.ok(201);
}

async fn routes(api: &Api) {
    let call = async |method: Method, path: &str| {
        let answer = api.raw(method, path, Some("application/json"), "{}");
        Answer::of(answer.await.unwrap()).await
    };
    for (method, path) in [
        (Method::GET, ISSUE),
        (Method::DELETE, ISSUE),
        (Method::PUT, UNWRAP),
        (Method::POST, "/v1/keyspaces/chat"),
        (Method::PATCH, "/v1/status"),
    ] {
        refused(&call(method, path).await, 405, "method_not_allowed");
    }
    for path in [
        "/",
        "/v1",
        "/v2/keyspaces",
        "/v1/keyspaces/chat/data-keys/",
        "/v1//status",
    ] {
        refused(&call(Method::GET, path).await, 404, "not_found");
    }
    refused(&api.issue("absent", "a").await, 404, "unknown_keyspace");
    for bad in [
        "CHAT",
        "-chat",
        "a_b",
        "%20",
        "%ff",
        "..%2fchat",
        &"a".repeat(64),
    ] {
        let answer = api.issue(bad, "a").await;
        refused(&answer, 400, "invalid_request");
    }
    let first = api.issue("chat", "a").await.request_id;
    assert_ne!(first, api.issue("chat", "a").await.request_id);
}

/// `docs/design.md#p3`, `docs/design.md#p4`: neither log nor audit log nor database know a conversation.
fn nothing_readable(dev: &Dev) {
    assert!(dev.audit().contains("\"operation\":\"issue\""));
    let database = std::fs::read(dev.dir().join("lethe.db")).unwrap();
    let wal = std::fs::read(dev.dir().join("lethe.db-wal")).unwrap_or_default();
    let everything = [
        dev.audit(),
        dev.log(),
        String::from_utf8_lossy(&database).into_owned(),
        String::from_utf8_lossy(&wal).into_owned(),
    ];
    for text in everything {
        assert!(!text.contains("private-room-7"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrapped_keys_that_are_not_these() {
    let (dev, foreign) = (Dev::start(), Dev::start());
    let api = dev.api(Role::MessageServer);
    let operator = dev.api(Role::Operator);
    operator.set_keyspace("other", "72h", "1h").await.ok(201);
    let wrapped = api.issue("chat", "room").await.text("wrapped_key");

    refused(
        &api.unwrap("chat", "other", &wrapped).await,
        400,
        "invalid_wrapped_key",
    );
    refused(
        &api.unwrap("other", "room", &wrapped).await,
        400,
        "invalid_wrapped_key",
    );
    let foreign = foreign.api(Role::MessageServer);
    refused(
        &foreign.unwrap("chat", "room", &wrapped).await,
        400,
        "invalid_wrapped_key",
    );

    let mut variants: Vec<String> = (0..wrapped.len())
        .map(|n| wrapped[..n].to_owned())
        .collect();
    variants.extend(["A", "=", " ", "\n"].map(|end| format!("{wrapped}{end}")));
    variants.push(format!(" {wrapped}"));
    variants.extend(
        ["lethe:v2:", "lethe:v0:", "LETHE:v1:", "vault:v1:"]
            .map(|prefix| wrapped.replace("lethe:v1:", prefix)),
    );
    variants.push(wrapped.replace('A', "é"));
    for code in codes(&api, &variants).await {
        assert_eq!(code, "invalid_wrapped_key");
    }
    altered(&api, &wrapped).await;
    api.unwrap("chat", "room", &wrapped).await.ok(200);
}

/// Every character changed in its lowest and its highest bit. An altered header may say that it
/// has expired or is of a version that is not alive: 410 is judged before the integrity check.
async fn altered(api: &Api, wrapped: &str) {
    let begin = "lethe:v1:".len();
    let mut variants = Vec::new();
    for at in begin..wrapped.len() {
        let mut bytes = wrapped.as_bytes().to_owned();
        let value = ALPHABET.iter().position(|c| *c == bytes[at]).unwrap();
        for bit in [1, 32] {
            bytes[at] = ALPHABET[value ^ bit];
            variants.push(String::from_utf8(bytes.clone()).unwrap());
        }
    }
    let header_characters = (14 * 8_usize).div_ceil(6) * 2;
    for (index, code) in codes(api, &variants).await.iter().enumerate() {
        let in_header = index < header_characters;
        let gone = ["expired", "version_retired", "shredded"].contains(&code.as_str());
        assert!(
            code == "invalid_wrapped_key" || (in_header && gone),
            "{code} for {}",
            variants[index]
        );
    }
}

async fn codes(api: &Api, wrapped: &[String]) -> Vec<String> {
    let items: Vec<Value> = wrapped
        .iter()
        .map(|wrapped| json!({ "conversation": "room", "wrapped_key": wrapped }))
        .collect();
    let answer = api.post(UNWRAP, &json!({ "items": items })).await.ok(200);
    let items = answer["items"].as_array().unwrap().iter();
    items
        .map(|item| item["error"]["code"].as_str().unwrap_or("ok").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_refused_from_its_instant_on() {
    let dev = Dev::start();
    let (api, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    operator.set_keyspace("short", "2s", "1s").await.ok(201);
    let logged = dev.log();
    let issued = api.issue("short", "room").await.ok(201);
    let wrapped = issued["wrapped_key"].as_str().unwrap();
    let expiry: jiff::Timestamp = issued["expires_at"].as_str().unwrap().parse().unwrap();
    api.unwrap("short", "room", wrapped).await.ok(200);
    loop {
        let before = jiff::Timestamp::now();
        let answer = api.unwrap("short", "room", wrapped).await;
        let after = jiff::Timestamp::now();
        // One that was answered around the instant may say either.
        if before >= expiry {
            refused(&answer, 410, "expired");
            break;
        } else if after < expiry {
            answer.ok(200);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // A chat key that lives is not touched, and the bucket's key dies in the HSM.
    eventually("the next bucket is destroyed, too", async || {
        dev.metric("lethe_expiry_destroy_seconds_count").await > 1
    })
    .await;
    refused(&api.unwrap("short", "room", wrapped).await, 410, "expired");
    api.issue("chat", "room").await.ok(201);
    // What goes on all the time is not in the log.
    assert_eq!(dev.log(), logged);
}

/// serde takes a list for a struct; a client that sends one is wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_no_object() {
    let dev = Dev::start();
    let (api, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    let issued = api.issue("chat", "room").await.ok(201);
    let wrapped = issued["wrapped_key"].as_str().unwrap();
    let list = json!(["room", wrapped]);
    for (path, body) in [
        ("data-keys", json!(["room", false])),
        ("data-keys", json!([[{ "conversation": "room" }]])),
        ("data-keys/unwrap", json!(["room", wrapped, null])),
        ("data-keys/rewrap", list.clone()),
        ("shreds", json!(["room", null])),
    ] {
        let path = format!("/v1/keyspaces/chat/{path}");
        refused(&api.post(&path, &body).await, 400, "invalid_request");
    }
    let items = json!({ "items": [list, { "conversation": "room", "wrapped_key": wrapped }] });
    let path = "/v1/keyspaces/chat/data-keys/unwrap";
    let opened = api.post(path, &items).await.ok(200);
    assert_eq!(opened["items"][0]["error"]["code"], "invalid_request");
    assert_eq!(opened["items"][1]["data_key"], issued["data_key"]);
    let settings = json!(["1h", "1m", "30d", "5m", null]);
    let put = operator.put("/v1/keyspaces/chat", &settings).await;
    refused(&put, 400, "invalid_request");
}
