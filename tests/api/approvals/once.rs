//! An approval changes its state once, and has one audit record of it: also while store, audit log or HSM are
//! away, with other calls at the same time, and after a crash.

use std::time::Duration;

use crate::support::api::Answer;
use crate::support::approvals::{
    CHAT, SECOND, approve, approve_async, key, records, second, start, state, use_up, uuid, waits,
    with, withdraw,
};
use crate::support::{Dev, Role, eventually, refused};
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};

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

/// The records of an operation on one approval.
fn records_of(dev: &Dev, operation: &str, id: &str) -> Vec<Value> {
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
    assert_eq!(state(&api, &id).await, "approval_required");
    until(expiry(&asked), 2).await;
    assert_eq!(state(&api, &id).await, "expired", "whatever the store says");
    assert!(records_of(&dev, "expire_approval", &id).is_empty());
    release(other).await;
    eventually("it has expired", async || {
        !records_of(&dev, "expire_approval", &id).is_empty()
    })
    .await;
    assert_eq!(state(&api, &id).await, "expired");
    assert_eq!(records_of(&dev, "expire_approval", &id).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_in_time_has_no_record_of_an_expiry() {
    let (dev, api, _, second) = start("expire_after = \"3s\"\n");
    key(&api, "chat", "room").await;
    use_up(&api).await;
    let asked = api.shred_as("chat", "room", &uuid(1)).await;
    let id = waits(&asked);
    let other = lock(&dev).await;
    // In time, and on its way to the disk when the time is over.
    let approving = tokio::spawn({
        let (second, id) = (second.clone(), id.clone());
        async move { approve(&second, &id).await }
    });
    until(expiry(&asked), 2).await;
    release(other).await;
    assert_eq!(approving.await.unwrap().ok(200)["state"], "destroyed");
    assert_eq!(state(&second, &id).await, "approved");
    assert_eq!(records_of(&dev, "carry_out_approval", &id).len(), 1);
    assert!(records_of(&dev, "expire_approval", &id).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_find_it_void_are_one_line() {
    let (dev, api, first, second) = start("");
    first.set_keyspace("other", "72h", "1h").await.ok(201);
    use_up(&api).await;
    let waiting = [
        waits(&api.shred_as("other", "room", &uuid(1)).await),
        waits(&api.shred_as("other", "room", &uuid(2)).await),
    ];
    let erase = waits(&first.delete("/v1/keyspaces/other").await);
    // Accepted and not destroyed, so that it is answered before anybody looks.
    dev.hsm_sim(&["fault", "set", "hang"]);
    approve_async(&second, &erase).await.ok(202);
    let other = lock(&dev).await;
    let mut calls = tokio::task::JoinSet::new();
    for id in waiting.iter().cycle().take(6) {
        let (second, id) = (second.clone(), id.clone());
        calls.spawn(async move { approve(&second, &id).await });
    }
    eventually("all wait for the store", async || {
        dev.metric("lethe_requests_under_way").await == 6
    })
    .await;
    release(other).await;
    for late in calls.join_all().await {
        refused(&late, 404, "unknown_keyspace");
    }
    for id in &waiting {
        eventually("it is void", async || {
            !records_of(&dev, "void_approval", id).is_empty()
        })
        .await;
        assert_eq!(state(&first, id).await, "void");
        assert_eq!(records_of(&dev, "void_approval", id).len(), 1);
    }
    dev.hsm_sim(&["fault", "clear", "--all"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_approvals_at_once_are_carried_out_once() {
    let (dev, api, _, second) = start("");
    use_up(&api).await;
    for number in 1..=5 {
        let room = format!("room-{number}");
        let id = waits(&api.shred_as("chat", &room, &uuid(number)).await);
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (second, id) = (second.clone(), id.clone());
            calls.spawn(async move { approve(&second, &id).await.ok(200) });
        }
        let answers = calls.join_all().await;
        assert!(answers.iter().all(|it| *it == answers[0]), "{answers:?}");
        assert_eq!(records_of(&dev, "carry_out_approval", &id).len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stays_off_the_record() {
    let (dev, api, _, second) = start("");
    use_up(&api).await;
    let id = waits(&api.shred_as("chat", "room", &uuid(1)).await);
    let other = waits(&api.shred_as("chat", "other", &uuid(2)).await);
    let audit = dev.dir().join("audit");
    std::fs::remove_dir_all(&audit).unwrap();
    // The first to find it out has done it already: its line comes later.
    assert_eq!(
        withdraw(&second, &other).await.ok(200)["state"],
        "withdrawn"
    );
    refused(&withdraw(&api, &id).await, 503, "audit_unavailable");
    refused(&approve(&second, &id).await, 503, "audit_unavailable");
    std::fs::create_dir(&audit).unwrap();
    eventually("the audit log is back", async || {
        api.issue("chat", "another").await.status == 201
    })
    .await;
    assert_eq!(state(&second, &id).await, "approval_required");
    assert_eq!(withdraw(&second, &id).await.ok(200)["withdrawn_by"], SECOND);
    let taken_back = records_of(&dev, "take_back_approval", &id);
    assert_eq!(taken_back.len(), 1);
    assert_eq!(taken_back[0]["client"], SECOND);
    assert_eq!(taken_back[0]["asked_by"], ASKED_BY);
    assert_eq!(taken_back[0]["request"], json!(id));
    assert_eq!(taken_back[0]["requests"], json!([id, uuid(1)]));
    assert_eq!(records_of(&dev, "withdraw_approval", &id).len(), 1);
    eventually("the other's line is there", async || {
        records_of(&dev, "take_back_approval", &other).len() == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawal_that_the_store_refused_has_not_come_to_pass() {
    let (dev, api, _, second) = start("");
    let wrapped = key(&api, "chat", "room").await;
    use_up(&api).await;
    let id = waits(&api.shred_as("chat", "room", &uuid(1)).await);
    let other = lock(&dev).await;
    refused(&withdraw(&api, &id).await, 503, "store_unavailable");
    assert_eq!(state(&second, &id).await, "approval_required");
    assert!(records_of(&dev, "take_back_approval", &id).is_empty());
    release(other).await;
    assert_eq!(withdraw(&api, &id).await.ok(200)["withdrawn_by"], ASKED_BY);
    refused(&approve(&second, &id).await, 409, "conflict");
    assert_eq!(records_of(&dev, "take_back_approval", &id).len(), 1);
    api.unwrap("chat", "room", &wrapped).await.ok(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_record_died_is_put_there_after_the_next_start() {
    let (mut dev, api, _, second) = start("");
    use_up(&api).await;
    let approved = waits(&api.shred_as("chat", "one", &uuid(1)).await);
    let withdrawn = waits(&api.shred_as("chat", "two", &uuid(2)).await);
    approve(&second, &approved).await.ok(200);
    withdraw(&api, &withdrawn).await.ok(200);
    dev.kill();
    let mut database = dev.database().await;
    let died = sqlx::raw_sql("UPDATE approval SET recorded = 0").execute(&mut database);
    assert_eq!(died.await.unwrap().rows_affected(), 2);
    database.close().await.unwrap();
    dev.run();
    for (operation, id) in [
        ("carry_out_approval", &approved),
        ("take_back_approval", &withdrawn),
    ] {
        eventually("it is on record again", async || {
            records_of(&dev, operation, id).len() == 2
        })
        .await;
    }
    let line = &records_of(&dev, "carry_out_approval", &approved)[1];
    assert_eq!(
        (&line["client"], &line["asked_by"]),
        (&json!(SECOND), &json!(ASKED_BY))
    );
    assert_eq!(line["requests"], json!([approved, uuid(1)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_and_a_withdrawal_at_once_are_one_of_them() {
    let (dev, api, _, second) = start("");
    use_up(&api).await;
    for number in 1..=8 {
        let room = format!("room-{number}");
        let wrapped = key(&api, "chat", &room).await;
        let id = waits(&api.shred_as("chat", &room, &uuid(number)).await);
        let (given, taken) = tokio::join!(approve(&second, &id), withdraw(&api, &id));
        let unwrapped = api.unwrap("chat", &room, &wrapped).await;
        let lines = [
            records_of(&dev, "carry_out_approval", &id).len(),
            records_of(&dev, "take_back_approval", &id).len(),
        ];
        if given.status == 200 {
            refused(&taken, 409, "conflict");
            refused(&unwrapped, 410, "shredded");
            assert_eq!(lines, [1, 0]);
        } else {
            refused(&given, 409, "conflict");
            assert_eq!(taken.status, 200, "{}", taken.body);
            unwrapped.ok(200);
            assert_eq!(lines, [0, 1]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hsm_that_hangs_keeps_nothing_from_expiring() {
    let mut dev = with("expire_after = \"12s\"\n");
    dev.stop();
    dev.edit(|text| text.replace("token =", "call_timeout = \"60s\"\ntoken ="));
    dev.run();
    let (api, first, second) = (
        dev.api(Role::MessageServer),
        dev.api(Role::Operator),
        second(&dev),
    );
    use_up(&api).await;
    let rotated = first.post_bytes(&format!("{CHAT}/versions"), "").await;
    rotated.ok(201);
    let settings = json!({ "retention": "72h", "granularity": "1h", "rotation": "30d",
        "cache_ttl": "5m", "minimum_version": 2 });
    let asked = api.shred_as("chat", "room", &uuid(1)).await;
    let id = waits(&asked);
    let raise = waits(&first.put(CHAT, &settings).await);
    dev.hsm_sim(&["fault", "set", "hang"]);
    // Needs buckets, and whatever needs the keeper afterwards stands behind it.
    let operator = first.clone();
    let new = tokio::spawn(async move { operator.set_keyspace("new", "48h", "7m").await });
    let given = tokio::spawn({
        let (second, raise) = (second.clone(), raise.clone());
        async move { approve(&second, &raise).await }
    });
    until(expiry(&asked), 3).await;
    eventually("in time, and the HSM hangs still", async || {
        records_of(&dev, "expire_approval", &id).len() == 1
    })
    .await;
    dev.hsm_sim(&["fault", "clear", "--all"]);
    new.await.unwrap();
    // Whichever came first; not both.
    given.await.unwrap();
    eventually("it is over", async || {
        state(&first, &raise).await != "approval_required"
    })
    .await;
    let minimum = first.get(CHAT).await.ok(200)["minimum_version"].clone();
    let approved = state(&first, &raise).await == "approved";
    assert_eq!(minimum, if approved { 2 } else { 1 });
}
