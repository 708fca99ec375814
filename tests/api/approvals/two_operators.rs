//! What destroys much waits for a second operator.

use std::time::Duration;

use crate::support::api::Answer;
use crate::support::approvals::{
    CHAT, ELSEWHERE, SECOND, approve, approve_async, borrowed, certificate, key, listed, second,
    start, state, use_up, uuid, waits, with, with_shreds, withdraw,
};
use crate::support::{Api, Dev, Role, eventually, refused};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyspace_is_erased_by_two() {
    let (dev, api, first, second) = start("");
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
    // Without an id it is the same erase, and with another id it is another one.
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
    let elsewhere = Api::new(&dev, &certificate(&dev, "elsewhere", ELSEWHERE));
    refused(&approve(&elsewhere, &id).await, 404, "not_found");
    assert!(listed(&elsewhere).await.is_empty());
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
    // The other erase came too late, also for a keyspace of the same name.
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
    let shown = api.get(&format!("{CHAT}/shreds/{}", uuid(1))).await;
    let told = json!({ "id": uuid(1), "state": "approval_required", "approval": id });
    assert_eq!(shown.ok(200), told);
    let elsewhere = format!("/v1/keyspaces/none/shreds/{}", uuid(1));
    refused(&api.get(&elsewhere).await, 404, "not_found");
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
    let (_dev, api, _, second) = start("");
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
    let (_dev, api, _, second) = start("");
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
async fn a_new_shred_does_not_join_one_that_waited() {
    let mut dev = with("");
    dev.stop();
    dev.edit(|text| text.replace("[store]", "request_timeout = \"3s\"\n\n[store]"));
    dev.run();
    let (api, second) = (dev.api(Role::MessageServer), second(&dev));
    key(&api, "chat", "room").await;
    use_up(&api).await;
    let one = waits(&api.shred_as("chat", "room", &uuid(1)).await);
    let other = waits(&api.shred_as("chat", "room", &uuid(2)).await);
    approve(&second, &one).await.ok(200);
    let later_key = key(&api, "chat", "room").await;
    // No call is under way any more that began before: that it is done is remembered no longer.
    tokio::time::sleep(Duration::from_secs(5)).await;
    // Accepted and not destroyed: what is forgotten already is being forgotten again.
    dev.hsm_sim(&["fault", "set", "hang"]);
    let accepted = approve_async(&second, &other).await.ok(202);
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
async fn a_shred_that_lacks_a_new_key_version_is_void() {
    let (_dev, api, first, second) = start("");
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

/// What is known is answered without an approval, and its row is deleted when its receipt was kept long
/// enough: nobody may see it known and then take it for new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_is_forgotten_meanwhile_is_no_permission() {
    let dev = with_shreds(1_000, "");
    let (api, first) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    first.set_keyspace("victim", "72h", "1h").await.ok(201);
    let versions = "/v1/keyspaces/victim/versions";
    first.post_bytes(versions, "").await.ok(201);
    let mut database = dev.database().await;
    for round in 1..=6 {
        // Known as a shred, as the erase, and as the drop that it comes back as.
        let id = uuid(round);
        api.shred_as("victim", "room", &id).await.ok(200);
        let paths = [
            format!("/v1/keyspaces/victim?id={id}"),
            format!("{versions}/1?id={id}"),
        ];
        let (forgotten, hears) = tokio::sync::watch::channel(false);
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..16 {
            let (first, path) = (first.clone(), paths[number % 2].clone());
            let hears = hears.clone();
            calls.spawn(async move {
                loop {
                    let last = *hears.borrow();
                    let answer = first.delete(&path).await;
                    assert!([202, 409].contains(&answer.status), "{answer:?}");
                    assert_ne!(answer.body["state"], "accepted", "{answer:?}");
                    if last {
                        return answer;
                    }
                }
            });
        }
        first.get(CHAT).await.ok(200);
        let gone = sqlx::raw_sql("DELETE FROM request").execute(&mut database);
        assert!(gone.await.unwrap().rows_affected() > 0);
        forgotten.send(true).unwrap();
        for answer in calls.join_all().await {
            assert!([202, 409].contains(&answer.status), "{answer:?}");
        }
        let shown = first.get("/v1/keyspaces/victim").await.ok(200);
        assert_eq!(shown["versions"].as_array().unwrap().len(), 2);
        for waiting in listed(&first).await {
            let id = waiting["id"].as_str().unwrap();
            withdraw(&first, id).await.ok(200);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_in_time_is_no() {
    let (dev, api, _, second) = start("expire_after = \"4s\"\n");
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
    let recorded =
        |line: &str| line.contains("\"operation\":\"expire_approval\"") && line.contains(&id);
    eventually("it is on record", async || {
        dev.audit().lines().any(recorded)
    })
    .await;
    let again = waits(&api.shred_as("chat", "room", &uuid(1)).await);
    assert_ne!(again, id);
    approve(&second, &again).await.ok(200);
    refused(&api.unwrap("chat", "room", &wrapped).await, 410, "shredded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_development_service_asks_nobody() {
    let dev = Dev::start();
    dev.api(Role::Operator).delete(CHAT).await.ok(200);
}
