//! How an approval ends is on record first, once, and is then so: while store, audit log or HSM are
//! away, while somebody else is at it, and through a death.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};
use support::api::Answer;
use support::approvals::{
    CHAT, SECOND, approve, key, records, second, state, use_up, uuid, waits, with, withdraw,
    write_given,
};
use support::{Api, Dev, Role, eventually, refused};

const ASKED_BY: &str = "spiffe://lethe.dev/message-server";

/// The store refuses changes until [`release`].
async fn lock(dev: &Dev) -> SqliteConnection {
    let mut other = dev.database().await;
    let begun = sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut other).await;
    begun.unwrap();
    other
}

async fn release(mut other: SqliteConnection) {
    let ended = sqlx::raw_sql("ROLLBACK").execute(&mut other).await;
    ended.unwrap();
    other.close().await.unwrap();
}

/// How many the store has in a state, whatever the service says.
async fn stored(dev: &Dev, state: u8) -> i64 {
    let mut database = dev.database().await;
    let count = sqlx::query_scalar("SELECT count(*) FROM approval WHERE state = ?")
        .bind(state)
        .fetch_one(&mut database);
    let count = count.await.unwrap();
    database.close().await.unwrap();
    count
}

/// The records of an operation on one approval.
fn told(dev: &Dev, operation: &str, id: &str) -> Vec<Value> {
    let mut records = records(dev, operation);
    records.retain(|it| it["requests"][0] == json!(id) && it["outcome"] == "ok");
    records
}

/// Until a moment is over, and as many seconds more.
async fn until(moment: jiff::Timestamp, seconds: i64) {
    let end = moment + jiff::SignedDuration::from_secs(seconds);
    while jiff::Timestamp::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn expiry(asked: &Answer) -> jiff::Timestamp {
    asked.text("expires_at").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expiry_that_the_store_refuses_is_one_line() {
    let dev = with("expire_after = \"3s\"\n");
    let api = dev.api(Role::MessageServer);
    use_up(&api).await;
    let asked = api.shred_as("chat", "room", &uuid(1)).await;
    let id = waits(&asked);
    let other = lock(&dev).await;
    assert_eq!(stored(&dev, 0).await, 1, "it waits still");
    eventually("it is on record", async || {
        !told(&dev, "expire_approval", &id).is_empty()
    })
    .await;
    // The store gives up after eight seconds, and the next round comes a second later.
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(told(&dev, "expire_approval", &id).len(), 1);
    release(other).await;
    eventually("it has expired", async || stored(&dev, 3).await == 1).await;
    assert_eq!(told(&dev, "expire_approval", &id).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_line_tells_of_an_expiry_that_a_second_word_has_forestalled() {
    let dev = with("expire_after = \"3s\"\n");
    let (api, second) = (dev.api(Role::MessageServer), second(&dev));
    key(&api, "chat", "room").await;
    use_up(&api).await;
    let asked = api.shred_as("chat", "room", &uuid(1)).await;
    let id = waits(&asked);
    let other = lock(&dev).await;
    // In time, and on its way to the disk when the time is over.
    let word = tokio::spawn({
        let (second, id) = (second.clone(), id.clone());
        async move { approve(&second, &id).await }
    });
    until(expiry(&asked), 2).await;
    release(other).await;
    assert_eq!(word.await.unwrap().ok(200)["state"], "destroyed");
    assert_eq!(state(&second, &id).await, "approved");
    assert_eq!(told(&dev, "carry_out_approval", &id).len(), 1);
    assert!(told(&dev, "expire_approval", &id).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_find_it_void_are_one_line() {
    let dev = with("");
    let (api, first, second) = (
        dev.api(Role::MessageServer),
        dev.api(Role::Operator),
        second(&dev),
    );
    first.set_keyspace("other", "72h", "1h").await.ok(201);
    use_up(&api).await;
    let waiting = [
        waits(&api.shred_as("other", "room", &uuid(1)).await),
        waits(&api.shred_as("other", "room", &uuid(2)).await),
    ];
    let erase = waits(&first.delete("/v1/keyspaces/other").await);
    // Accepted and not destroyed, so that it is answered before anybody looks.
    dev.hsm_sim(&["fault", "set", "hang"]);
    let request = second.request(Method::POST, &format!("/v1/approvals/{erase}"));
    let request = request.header("prefer", "respond-async");
    Answer::of(request.send().await.unwrap()).await.ok(202);
    let other = lock(&dev).await;
    let mut words = tokio::task::JoinSet::new();
    for id in waiting.iter().cycle().take(6) {
        let (second, id) = (second.clone(), id.clone());
        words.spawn(async move { approve(&second, &id).await });
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    release(other).await;
    for late in words.join_all().await {
        refused(&late, 404, "unknown_keyspace");
    }
    eventually("they are void", async || stored(&dev, 4).await == 2).await;
    for id in &waiting {
        assert_eq!(told(&dev, "void_approval", id).len(), 1);
    }
    dev.hsm_sim(&["fault", "clear", "--all"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_give_the_second_word_carry_it_out_once() {
    let dev = with("");
    let (api, second) = (dev.api(Role::MessageServer), second(&dev));
    use_up(&api).await;
    for number in 1..=5 {
        let room = format!("room-{number}");
        let id = waits(&api.shred_as("chat", &room, &uuid(number)).await);
        let mut words = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (second, id) = (second.clone(), id.clone());
            words.spawn(async move { approve(&second, &id).await.ok(200) });
        }
        let answers = words.join_all().await;
        assert!(answers.iter().all(|it| *it == answers[0]), "{answers:?}");
        assert_eq!(told(&dev, "carry_out_approval", &id).len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_taken_back_without_a_record() {
    let dev = with("");
    let (api, second) = (dev.api(Role::MessageServer), second(&dev));
    use_up(&api).await;
    let id = waits(&api.shred_as("chat", "room", &uuid(1)).await);
    let audit = dev.dir().join("audit");
    std::fs::remove_dir_all(&audit).unwrap();
    refused(&withdraw(&api, &id).await, 503, "audit_unavailable");
    assert_eq!(stored(&dev, 0).await, 1);
    std::fs::create_dir(&audit).unwrap();
    eventually("the audit log is back", async || {
        api.issue("chat", "another").await.status == 201
    })
    .await;
    assert_eq!(state(&second, &id).await, "approval_required");
    assert_eq!(withdraw(&second, &id).await.ok(200)["withdrawn_by"], SECOND);
    let taken_back = told(&dev, "take_back_approval", &id);
    assert_eq!(taken_back.len(), 1);
    assert_eq!(taken_back[0]["client"], SECOND);
    assert_eq!(taken_back[0]["asked_by"], ASKED_BY);
    assert_eq!(taken_back[0]["request"], json!(id));
    assert_eq!(taken_back[0]["requests"], json!([id, uuid(1)]));
    assert_eq!(told(&dev, "withdraw_approval", &id).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawal_that_died_is_on_record_and_has_not_come_to_pass() {
    let mut dev = with("");
    let api = dev.api(Role::MessageServer);
    use_up(&api).await;
    let id = waits(&api.shred_as("chat", "room", &uuid(1)).await);
    let other = lock(&dev).await;
    let call = tokio::spawn({
        let (api, path) = (api.clone(), format!("/v1/approvals/{id}"));
        async move { api.request(Method::DELETE, &path).send().await }
    });
    eventually("it is on record", async || {
        assert!(!call.is_finished(), "answered, and not on record");
        !told(&dev, "take_back_approval", &id).is_empty()
    })
    .await;
    dev.kill();
    assert!(call.await.unwrap().is_err());
    release(other).await;
    dev.run();
    let api = dev.api(Role::MessageServer);
    assert_eq!(state(&api, &id).await, "approval_required");
    assert_eq!(withdraw(&api, &id).await.ok(200)["state"], "withdrawn");
    assert_eq!(told(&dev, "take_back_approval", &id).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawal_that_the_store_refused_holds_against_a_second_word() {
    let dev = with("");
    let (api, second) = (dev.api(Role::MessageServer), second(&dev));
    let wrapped = key(&api, "chat", "room").await;
    use_up(&api).await;
    let id = waits(&api.shred_as("chat", "room", &uuid(1)).await);
    let other = lock(&dev).await;
    refused(&withdraw(&api, &id).await, 503, "store_unavailable");
    let shown = second.get(&format!("/v1/approvals/{id}")).await.ok(200);
    assert_eq!(shown["state"], "withdrawn");
    assert_eq!(shown["withdrawn_by"], ASKED_BY);
    release(other).await;
    refused(&approve(&second, &id).await, 409, "conflict");
    assert_eq!(state(&second, &id).await, "withdrawn");
    // Nobody has to say it again.
    eventually("the store has it", async || stored(&dev, 5).await == 1).await;
    let shown = withdraw(&api, &id).await.ok(200);
    assert_eq!(shown["withdrawn_by"], ASKED_BY);
    assert_eq!(told(&dev, "take_back_approval", &id).len(), 1);
    api.unwrap("chat", "room", &wrapped).await.ok(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_turned_out_void_is_shown_so_while_the_store_has_not_heard() {
    let dev = with("");
    let (first, second) = (dev.api(Role::Operator), second(&dev));
    let rotated = first.post_bytes(&format!("{CHAT}/versions"), "").await;
    rotated.ok(201);
    let path = format!("{CHAT}/versions/1");
    let one = waits(&first.delete(&path).await);
    let other = waits(&second.delete(&path).await);
    approve(&second, &one).await.ok(200);
    // Said, and the process that heard it has died.
    let mut locked = dev.database().await;
    write_given(&mut locked, "BEGIN EXCLUSIVE").await;
    eventually("the sweep finds that it cannot be done", async || {
        !told(&dev, "void_approval", &other).is_empty()
    })
    .await;
    assert_eq!(state(&second, &other).await, "void");
    refused(&withdraw(&first, &other).await, 409, "conflict");
    assert_eq!(stored(&dev, 1).await, 1, "the store has not heard");
    release(locked).await;
    eventually("now it has", async || stored(&dev, 4).await == 1).await;
    assert_eq!(told(&dev, "void_approval", &other).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_stops_leaves_no_end_to_the_next_start() {
    let mut dev = with("");
    let api = dev.api(Role::MessageServer);
    use_up(&api).await;
    let id = waits(&api.shred_as("chat", "room", &uuid(1)).await);
    let locked = lock(&dev).await;
    refused(&withdraw(&api, &id).await, 503, "store_unavailable");
    let freed = tokio::spawn(async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        release(locked).await;
    });
    dev.stop();
    freed.await.unwrap();
    assert_eq!(stored(&dev, 5).await, 1);
    dev.run();
    assert_eq!(state(&dev.api(Role::MessageServer), &id).await, "withdrawn");
    assert_eq!(told(&dev, "take_back_approval", &id).len(), 1);
}

/// A raise that a second operator has approved, in the hands of the sweep and of an HSM that hangs.
async fn raise_that_hangs(dev: &Dev, first: &Api) -> String {
    let rotated = first.post_bytes(&format!("{CHAT}/versions"), "").await;
    rotated.ok(201);
    let settings = json!({ "retention": "72h", "granularity": "1h", "rotation": "30d",
        "cache_ttl": "5m", "minimum_version": 2 });
    dev.hsm_sim(&["fault", "set", "hang"]);
    // Needs buckets, and whatever needs the keeper afterwards stands behind it.
    let operator = first.clone();
    tokio::spawn(async move { operator.set_keyspace("new", "48h", "7m").await });
    tokio::time::sleep(Duration::from_secs(3)).await;
    let id = waits(&first.put(CHAT, &settings).await);
    let mut database = dev.database().await;
    assert_eq!(write_given(&mut database, "").await, 1);
    database.close().await.unwrap();
    eventually("the sweep is at it", async || {
        !told(dev, "carry_out_approval", &id).is_empty()
    })
    .await;
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hsm_that_hangs_keeps_nothing_from_expiring() {
    let mut dev = with("minimum_version = true\nexpire_after = \"6s\"\n");
    dev.stop();
    dev.edit(|text| text.replace("token =", "call_timeout = \"60s\"\ntoken ="));
    dev.run();
    let (api, first, second) = (
        dev.api(Role::MessageServer),
        dev.api(Role::Operator),
        second(&dev),
    );
    use_up(&api).await;
    let raise = raise_that_hangs(&dev, &first).await;
    let asked = api.shred_as("chat", "room", &uuid(1)).await;
    let id = waits(&asked);
    let again = tokio::spawn({
        let (second, raise) = (second.clone(), raise.clone());
        async move { approve(&second, &raise).await }
    });
    until(expiry(&asked), 10).await;
    let expired = told(&dev, "expire_approval", &id);
    assert_eq!(expired.len(), 1, "in time, and the HSM hangs still");
    assert_eq!(stored(&dev, 3).await, 1);
    assert_eq!(stored(&dev, 1).await, 1);
    dev.hsm_sim(&["fault", "clear", "--all"]);
    assert_eq!(again.await.unwrap().ok(200)["minimum_version"], 2);
    eventually("it is done", async || stored(&dev, 2).await == 1).await;
    assert_eq!(told(&dev, "carry_out_approval", &raise).len(), 1);
}
