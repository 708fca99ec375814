//! What destroys much waits for a second operator.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Output;

use rcgen::{CertificateParams, Issuer, KeyPair, SanType};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection;
use support::api::Answer;
use support::{Api, Dev, Role, eventually, lethe, refused};

const SECOND: &str = "spiffe://lethe.dev/operator-two";
const CHAT: &str = "/v1/keyspaces/chat";

/// Three shreds need no second word, and there is a second operator.
fn with(options: &str) -> Dev {
    let client = format!(
        "\n[[access.client]]\nspiffe_id = \"{SECOND}\"\nrole = \"operator\"\nkeyspaces = [\"*\"]\n"
    );
    Dev::start_with(|text| {
        let required = format!("required = true\nshreds = 3\n{options}");
        text.replace("required = false", &required) + &client
    })
}

fn second_path(dev: &Dev) -> PathBuf {
    certificate(dev, "operator-two", SECOND)
}

/// With a key of its own.
fn certificate(dev: &Dev, name: &str, spiffe_id: &str) -> PathBuf {
    let path = dev.scratch().join(name);
    if !path.with_extension("crt").exists() {
        let mut command = lethe(&["pki", "issue", "--spiffe-id", spiffe_id]);
        command.arg("--ca").arg(dev.dir().join("pki"));
        let output = command.arg("--out").arg(&path).output().unwrap();
        assert!(output.status.success());
    }
    path
}

fn second(dev: &Dev) -> Api {
    Api::new(dev, &second_path(dev))
}

/// The second operator's name, with the first one's key.
fn borrowed(dev: &Dev) -> Api {
    let read = |name: &str| std::fs::read_to_string(dev.dir().join("pki").join(name)).unwrap();
    let authority = KeyPair::from_pem(&read("ca.key")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&read("ca.crt"), authority).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = vec![SanType::URI(SECOND.try_into().unwrap())];
    let key = read("operator.key");
    let signed = params
        .signed_by(&KeyPair::from_pem(&key).unwrap(), &issuer)
        .unwrap();
    let path = dev.scratch().join("borrowed");
    std::fs::write(path.with_extension("crt"), signed.pem()).unwrap();
    std::fs::write(path.with_extension("key"), key).unwrap();
    Api::new(dev, &path)
}

/// The approval that an answer says it waits for.
#[track_caller]
fn waits(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(answer.body["state"], "approval_required", "{}", answer.body);
    assert_eq!(answer.body["code"], "approval_required");
    answer.text("id")
}

async fn approve(api: &Api, id: &str) -> Answer {
    api.post_bytes(&format!("/v1/approvals/{id}"), "").await
}

async fn listed(api: &Api) -> Vec<Value> {
    let shown = api.get("/v1/approvals").await.ok(200);
    shown["approvals"].as_array().unwrap().clone()
}

async fn state(api: &Api, id: &str) -> String {
    let shown = api.get(&format!("/v1/approvals/{id}")).await.ok(200);
    shown["state"].as_str().unwrap().to_owned()
}

async fn key(api: &Api, keyspace: &str, conversation: &str) -> String {
    let issued = api.issue(keyspace, conversation).await;
    assert_eq!(issued.status, 201, "{}", issued.body);
    issued.text("wrapped_key")
}

fn uuid(number: u64) -> String {
    format!("0190f2a4-7c1e-7b7d-8c7b-{number:012x}")
}

/// Uses up what needs no second word.
async fn use_up(api: &Api) {
    for room in ["one", "two", "three"] {
        api.shred("chat", room).await.ok(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyspace_is_erased_by_two() {
    let dev = with("");
    let (api, first, second) = (
        dev.api(Role::MessageServer),
        dev.api(Role::Operator),
        second(&dev),
    );
    first.set_keyspace("other", "72h", "1h").await.ok(201);
    let wrapped = key(&api, "other", "room").await;
    let path = format!("/v1/keyspaces/other?id={}", uuid(1));
    let raw = first.raw(Method::DELETE, &path, None, "").await.unwrap();
    let location = raw.headers()["location"].to_str().unwrap().to_owned();
    let asked = Answer::of(raw).await;
    let id = waits(&asked);
    assert_eq!(location, format!("/v1/approvals/{id}"));
    assert_eq!(asked.body["requests"], json!([uuid(1)]));
    assert_eq!(waits(&first.delete(&path).await), id);
    // Without an id of its own it is the same wish, and with another one another.
    assert_eq!(waits(&first.delete("/v1/keyspaces/other").await), id);
    let another = format!("/v1/keyspaces/other?id={}", uuid(2));
    let other = waits(&first.delete(&another).await);
    assert_ne!(other, id);
    refused(
        &first.delete(&format!("{CHAT}?id={}", uuid(1))).await,
        409,
        "conflict",
    );
    api.unwrap("other", "room", &wrapped).await.ok(200);

    let waiting = listed(&first).await;
    assert_eq!(waiting.len(), 2);
    assert_eq!(waiting[0]["id"], json!(id));
    assert_eq!(waiting[0]["kind"], "keyspace_erase");
    assert_eq!(waiting[0]["asked_by"], "spiffe://lethe.dev/operator");
    let page = first.get("/v1/approvals?limit=1").await.ok(200);
    assert_eq!(page["next"], json!(id));
    let page = first
        .get(&format!("/v1/approvals?limit=1&after={id}"))
        .await;
    let page = page.ok(200);
    assert_eq!(page["approvals"][0]["id"], json!(other));
    assert_eq!(page["next"], Value::Null);
    refused(
        &first.get("/v1/approvals?limit=0").await,
        400,
        "invalid_request",
    );
    eventually("the metric", async || {
        dev.metric("lethe_waiting_approvals").await == 2
    })
    .await;

    let renewed = certificate(&dev, "renewed", "spiffe://lethe.dev/operator");
    let renewed = Api::new(&dev, &renewed);
    for nobody in [
        &first,
        &renewed,
        &borrowed(&dev),
        &api,
        &dev.api(Role::Auditor),
    ] {
        refused(&approve(nobody, &id).await, 403, "forbidden");
    }
    refused(&approve(&second, &uuid(9)).await, 404, "not_found");
    refused(&approve(&second, "x").await, 400, "invalid_request");
    api.unwrap("other", "room", &wrapped).await.ok(200);

    let done = approve(&second, &id).await.ok(200);
    assert_eq!(done["id"], json!(uuid(1)));
    assert_eq!(done["receipt"]["item"]["kind"], "keyspace_erase");
    assert_eq!(approve(&second, &id).await.ok(200), done);
    assert_eq!(first.delete(&path).await.ok(200), done);
    let gone = api.unwrap("other", "room", &wrapped).await;
    refused(&gone, 404, "unknown_keyspace");
    let shown = first.get(&format!("/v1/approvals/{id}")).await.ok(200);
    assert_eq!(shown["state"], "approved");
    assert_eq!(shown["approved_by"], SECOND);
    // The other wish came too late, also for a keyspace of the same name.
    first.set_keyspace("other", "72h", "1h").await.ok(201);
    let late = approve(&second, &other).await;
    refused(&late, 404, "unknown_keyspace");
    assert_eq!(state(&first, &other).await, "void");
    key(&api, "other", "room").await;
    assert!(listed(&first).await.is_empty());

    let audit = dev.audit();
    let record = |operation: &str, outcome: &str| {
        let parsed = audit.lines().filter(|line| !line.is_empty());
        let parsed = parsed.map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut records =
            parsed.filter(|it| it["operation"] == operation && it["outcome"] == outcome);
        records.next().unwrap()
    };
    let asked = record("erase_keyspace", "approval_required");
    assert_eq!(asked["requests"], json!([id, uuid(1)]));
    let approved = record("approve", "ok");
    assert_eq!(approved["requests"], json!([id, uuid(1)]));
    assert_eq!(approved["client"], SECOND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shreds_beyond_the_limit_wait_through_a_death() {
    let mut dev = with("");
    let api = dev.api(Role::MessageServer);
    let wrapped = key(&api, "chat", "the-room-that-waits").await;
    use_up(&api).await;
    let asked = api.shred_as("chat", "the-room-that-waits", &uuid(1)).await;
    let id = waits(&asked);
    let again = api.shred_as("chat", "the-room-that-waits", &uuid(1)).await;
    assert_eq!(again.body, asked.body);
    refused(
        &api.shred_as("chat", "another", &uuid(1)).await,
        409,
        "conflict",
    );
    api.unwrap("chat", "the-room-that-waits", &wrapped)
        .await
        .ok(200);
    assert!(api.get(&format!("/v1/approvals/{id}")).await.status == 200);

    dev.kill();
    for name in ["lethe.db", "lethe.db-wal"] {
        let bytes = std::fs::read(dev.dir().join(name)).unwrap_or_default();
        let found = bytes.windows(8).any(|it| it == b"the-room");
        assert!(!found, "a conversation id is in {name}");
    }
    dev.run();
    let (api, second) = (dev.api(Role::MessageServer), second(&dev));
    assert_eq!(listed(&second).await.len(), 1);
    // What went through before the death counts still.
    waits(&api.shred("chat", "four").await);
    let again = api.shred_as("chat", "the-room-that-waits", &uuid(1)).await;
    assert_eq!(waits(&again), id);

    let done = approve(&second, &id).await.ok(200);
    assert_eq!(done["state"], "destroyed");
    assert_eq!(done["id"], json!(uuid(1)));
    let gone = api.unwrap("chat", "the-room-that-waits", &wrapped).await;
    refused(&gone, 410, "shredded");
    let told = api.shred_as("chat", "the-room-that-waits", &uuid(1)).await;
    let told = told.ok(200);
    assert_eq!(told["receipt"], done["receipt"]);
    assert_eq!(told["opening"]["conversation"], "the-room-that-waits");
    // An approved one has not used up anything, and the limit holds on.
    waits(&api.shred("chat", "five").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_waits_as_one() {
    let dev = with("");
    let (api, second) = (dev.api(Role::MessageServer), second(&dev));
    let path = format!("{CHAT}/shreds");
    let mut keys = Vec::new();
    for room in ["a", "b", "c", "d"] {
        keys.push((room, key(&api, "chat", room).await));
    }
    let item = |room: &str, number| json!({ "conversation": room, "id": uuid(number) });
    // All or none of it goes through at once.
    api.shred_as("chat", "a", &uuid(1)).await.ok(200);
    let items = [
        item("a", 1),
        item("b", 2),
        json!({ "conversation": "" }),
        item("c", 3),
        json!({ "conversation": "d" }),
        json!({ "conversation": "d" }),
    ];
    let asked = api.post(&path, &json!({ "items": items })).await;
    let id = waits(&asked);
    assert_eq!(asked.body["conversations"], 3);
    let told = &asked.body["items"];
    assert_eq!(told[0]["state"], "destroyed", "{told}");
    assert_eq!(
        told[1],
        json!({ "id": uuid(2), "state": "approval_required", "approval": id })
    );
    assert_eq!(told[2]["error"]["code"], "invalid_request");
    assert_eq!(told[4], told[5]);
    for (room, wrapped) in &keys[1..] {
        api.unwrap("chat", room, wrapped).await.ok(200);
    }
    // What waits has used up nothing.
    api.shred("chat", "e").await.ok(200);
    let done = approve(&second, &id).await.ok(200);
    let done = done["items"].as_array().unwrap();
    assert_eq!(done.len(), 3);
    assert!(done.iter().all(|it| it["state"] == "destroyed"), "{done:?}");
    for (room, wrapped) in &keys {
        refused(&api.unwrap("chat", room, wrapped).await, 410, "shredded");
    }
    let again = api
        .post(&path, &json!({ "items": items[..4] }))
        .await
        .ok(200);
    assert_eq!(again["items"][1]["receipt"], done[0]["receipt"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_since_is_not_meant() {
    let dev = with("");
    let (api, second) = (dev.api(Role::MessageServer), second(&dev));
    let first_key = key(&api, "chat", "room").await;
    use_up(&api).await;
    let one = waits(&api.shred_as("chat", "room", &uuid(1)).await);
    let other = waits(&api.shred_as("chat", "room", &uuid(2)).await);
    approve(&second, &one).await.ok(200);
    let later_key = key(&api, "chat", "room").await;
    let done = approve(&second, &other).await.ok(200);
    assert_eq!(done["state"], "destroyed");
    refused(
        &api.unwrap("chat", "room", &first_key).await,
        410,
        "shredded",
    );
    api.unwrap("chat", "room", &later_key).await.ok(200);
    let third = waits(&api.shred_as("chat", "room", &uuid(3)).await);
    approve(&second, &third).await.ok(200);
    refused(
        &api.unwrap("chat", "room", &later_key).await,
        410,
        "shredded",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_of_today_does_not_join_one_that_waited() {
    let dev = with("");
    let (api, second) = (dev.api(Role::MessageServer), second(&dev));
    key(&api, "chat", "room").await;
    use_up(&api).await;
    let one = waits(&api.shred_as("chat", "room", &uuid(1)).await);
    let other = waits(&api.shred_as("chat", "room", &uuid(2)).await);
    approve(&second, &one).await.ok(200);
    let later_key = key(&api, "chat", "room").await;
    // Accepted and not destroyed: what is forgotten already is being forgotten again.
    dev.hsm_sim(&["fault", "set", "hang"]);
    let path = format!("/v1/approvals/{other}");
    let request = second.request(Method::POST, &path);
    let request = request.header("prefer", "respond-async");
    let accepted = Answer::of(request.send().await.unwrap()).await.ok(202);
    assert_eq!(accepted["state"], "accepted");
    let third = waits(&api.shred_as("chat", "room", &uuid(3)).await);
    dev.hsm_sim(&["fault", "clear", "--all"]);
    approve(&second, &third).await;
    eventually("what came later is forgotten", async || {
        api.unwrap("chat", "room", &later_key).await.code() == "shredded"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_version_asks_for_a_new_wish() {
    let dev = with("");
    let (api, first, second) = (
        dev.api(Role::MessageServer),
        dev.api(Role::Operator),
        second(&dev),
    );
    let old = key(&api, "chat", "room").await;
    use_up(&api).await;
    let stale = waits(&api.shred_as("chat", "room", &uuid(1)).await);
    first
        .post_bytes(&format!("{CHAT}/versions"), "")
        .await
        .ok(201);
    let moved = api.rewrap("chat", "room", &old).await.text("wrapped_key");
    refused(&approve(&second, &stale).await, 409, "conflict");
    assert_eq!(state(&first, &stale).await, "void");
    refused(&approve(&second, &stale).await, 409, "conflict");
    for wrapped in [&old, &moved] {
        api.unwrap("chat", "room", wrapped).await.ok(200);
    }
    let fresh = waits(&api.shred_as("chat", "room", &uuid(1)).await);
    assert_ne!(fresh, stale);
    approve(&second, &fresh).await.ok(200);
    for wrapped in [&old, &moved] {
        refused(&api.unwrap("chat", "room", wrapped).await, 410, "shredded");
    }

    let path = format!("{CHAT}/versions/1");
    refused(
        &first.delete(&format!("{CHAT}/versions/2")).await,
        409,
        "conflict",
    );
    refused(
        &first.delete(&format!("{CHAT}/versions/7")).await,
        404,
        "not_found",
    );
    let drop = waits(&first.delete(&path).await);
    let shown = &listed(&first).await[0];
    assert_eq!(
        (&shown["kind"], &shown["version"]),
        (&json!("version_drop"), &json!(1))
    );
    let versions = async || {
        first.get(CHAT).await.ok(200)["versions"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(versions().await, 2);
    approve(&second, &drop).await.ok(200);
    assert_eq!(versions().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_in_time_is_no() {
    let dev = with("expire_after = \"2s\"\n");
    let (api, second) = (dev.api(Role::MessageServer), second(&dev));
    let wrapped = key(&api, "chat", "room").await;
    use_up(&api).await;
    let id = waits(&api.shred_as("chat", "room", &uuid(1)).await);
    eventually("it expires", async || {
        state(&second, &id).await == "expired"
    })
    .await;
    refused(&approve(&second, &id).await, 409, "conflict");
    assert!(listed(&second).await.is_empty());
    api.unwrap("chat", "room", &wrapped).await.ok(200);
    assert!(
        dev.audit().lines().any(|line| {
            line.contains("\"operation\":\"expire_approval\"") && line.contains(&id)
        })
    );
    let again = waits(&api.shred_as("chat", "room", &uuid(1)).await);
    assert_ne!(again, id);
    approve(&second, &again).await.ok(200);
    refused(&api.unwrap("chat", "room", &wrapped).await, 410, "shredded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_word_that_was_given_holds_through_a_death() {
    let mut dev = with("");
    let api = dev.api(Role::MessageServer);
    let wrapped = key(&api, "chat", "room").await;
    use_up(&api).await;
    let id = waits(&api.shred_as("chat", "room", &uuid(1)).await);
    dev.kill();
    // As it is between the second word and what it sets going.
    let mut database = dev.database().await;
    let given = "UPDATE approval SET state = 1, second_by = 'spiffe://lethe.dev/operator-two',
        second_key = zeroblob(32), second_at_ms = 1";
    sqlx::raw_sql(given).execute(&mut database).await.unwrap();
    database.close().await.unwrap();
    dev.run();
    let api = dev.api(Role::MessageServer);
    eventually("it is carried out", async || {
        api.unwrap("chat", "room", &wrapped).await.code() == "shredded"
    })
    .await;
    eventually("it is done", async || {
        state(&dev.api(Role::Operator), &id).await == "approved"
    })
    .await;
    let told = api.shred_as("chat", "room", &uuid(1)).await;
    assert_eq!(told.ok(200)["state"], "destroyed");
}

fn by(dev: &Dev, certificate: Option<&Path>, words: &[&str]) -> Output {
    let mut command = lethe(words);
    command.arg("--dir").arg(dev.dir());
    if let Some(path) = certificate {
        command.arg("--cert").arg(path.with_extension("crt"));
        command.arg("--key").arg(path.with_extension("key"));
    }
    command.output().unwrap()
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_says_who_has_to_say_what() {
    let dev = with("");
    use_up(&dev.api(Role::MessageServer)).await;
    let list = dev.scratch().join("list");
    std::fs::write(&list, "a\nb\n").unwrap();
    let shred = ["shred", "chat", "--in", list.to_str().unwrap()];
    let output = by(&dev, None, &shred);
    let (out, error) = said(&output);
    assert_eq!(
        (output.status.code(), out.as_str()),
        (Some(1), ""),
        "{error}"
    );
    assert!(error.contains("2 wait for a second operator"), "{error}");
    assert_eq!(error.matches("lethe approve 0").count(), 1, "{error}");
    let id = error.split("lethe approve ").nth(1).unwrap();
    let id = id.split('`').next().unwrap();

    let (out, _) = said(&by(&dev, None, &["approve"]));
    assert!(out.contains(id) && out.contains("shred 2 of chat"), "{out}");
    let (out, _) = said(&by(&dev, None, &["approve", "--output", "json"]));
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(shown["approvals"][0]["id"], json!(id));
    assert_eq!(shown["approvals"][0]["conversations"], 2);
    let own = by(&dev, None, &["approve", id]);
    assert_eq!(own.status.code(), Some(1));
    assert!(said(&own).1.contains("second operator"), "{own:?}");
    let second = second_path(&dev);
    let approved = by(&dev, Some(&second), &["approve", id]);
    let (out, error) = said(&approved);
    assert!(approved.status.success(), "{error}");
    assert!(out.contains("2 of 2 destroyed"), "{out}");
    let (out, _) = said(&by(&dev, None, &["approve"]));
    assert_eq!(out, "nothing waits for a second operator\n");
    // The same list again, under the ids that were kept: the receipts.
    let output = by(&dev, None, &shred);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(said(&output).0.matches("destroyed").count(), 2);

    let erase = by(&dev, None, &["keyspace", "erase", "chat", "--yes"]);
    let (_, error) = said(&erase);
    assert_eq!(erase.status.code(), Some(1), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    let word = |after: &str| {
        let rest = error.split(after).nth(1).unwrap();
        rest.trim().split('`').next().unwrap().to_owned()
    };
    let (approval, id) = (word("lethe approve "), word("--id "));
    let approved = by(
        &dev,
        Some(&second),
        &["approve", &approval, "--output", "json"],
    );
    let done: Value = serde_json::from_str(&said(&approved).0).unwrap();
    assert_eq!(done["state"], "destroyed");
    let told = by(
        &dev,
        None,
        &["keyspace", "erase", "chat", "--yes", "--id", &id],
    );
    assert!(told.status.success(), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_development_service_asks_nobody() {
    let dev = Dev::start();
    dev.api(Role::Operator).delete(CHAT).await.ok(200);
}
