//! What goes through without a second operator is counted for each client, for each keyspace, and for
//! all of a kind.

use serde_json::json;

use crate::support::approvals::{
    CHAT, approve, certificate, key, second, use_up, uuid, waits, with, with_shreds,
};
use crate::support::{Api, Role, refused};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_takes_what_others_have_left() {
    let other = "spiffe://lethe.dev/other-server";
    let dev = with_shreds(
        10,
        "shreds_per_keyspace = 6\nshreds_at_least = 2\nper_client = 1\n",
    );
    dev.edit(|text| {
        text + &format!(
            "\n[[access.client]]\nspiffe_id = \"{other}\"\nrole = \"message-server\"\nkeyspaces = [\"*\"]\n"
        )
    });
    let (api, first) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    let other = Api::new(&dev, &certificate(&dev, "other-server", other));
    first.set_keyspace("mail", "72h", "1h").await.ok(201);
    crate::support::eventually("the other server is known", async || {
        other.get(CHAT).await.status == 200
    })
    .await;
    let list = |name: &str, count: u64| {
        let item = |number| json!({ "conversation": format!("{name}-{number}") });
        json!({ "items": (0..count).map(item).collect::<Vec<_>>() })
    };
    let shreds = format!("{CHAT}/shreds");
    api.post(&shreds, &list("a", 6)).await.ok(200);
    waits(&api.shred("chat", "more").await);
    // Its part of what waits is full, and others have room.
    refused(
        &api.shred("chat", "still-more").await,
        409,
        "too_many_approvals",
    );
    api.post("/v1/keyspaces/mail/shreds", &list("a", 4))
        .await
        .ok(200);
    // The common window is full, and the keyspace's: there is its floor, which nobody else can take.
    waits(&other.post(&shreds, &list("b", 3)).await);
    other.post(&shreds, &list("b", 2)).await.ok(200);
    // A list of an operator's takes nothing of theirs, nor theirs of his.
    first.post(&shreds, &list("c", 6)).await.ok(200);
    waits(&first.delete(CHAT).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_approved_does_not_count_after_a_restart() {
    let mut dev = with("");
    let (api, approver) = (dev.api(Role::MessageServer), second(&dev));
    let item = |number| json!({ "conversation": format!("room-{number}"), "id": uuid(number) });
    let items: Vec<_> = (1..=5).map(item).collect();
    let many = json!({ "items": items });
    let id = waits(&api.post(&format!("{CHAT}/shreds"), &many).await);
    approve(&approver, &id).await.ok(200);
    api.shred("chat", "one").await.ok(200);
    dev.kill();
    dev.run();
    let api = dev.api(Role::MessageServer);
    // Nor does what was accepted before, when it is sent again.
    api.post(&format!("{CHAT}/shreds"), &many).await.ok(200);
    api.shred("chat", "two").await.ok(200);
    api.shred("chat", "three").await.ok(200);
    waits(&api.shred("chat", "four").await);
    let operator = dev.api(Role::Operator);
    use_up(&operator).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_keyspaces_are_one_call_and_each_waits_by_itself() {
    let server = "spiffe://lethe.dev/team-server";
    let dev = with("shreds_per_keyspace = 1\n");
    dev.edit(|text| {
        text + &format!(
            "\n[[access.client]]\nspiffe_id = \"{server}\"\nrole = \"message-server\"\nkeyspaces = [\"chat\"]\n"
        )
    });
    let (api, first, approver) = (
        dev.api(Role::MessageServer),
        dev.api(Role::Operator),
        second(&dev),
    );
    let some = Api::new(&dev, &certificate(&dev, "team-server", server));
    first.set_keyspace("mail", "72h", "1h").await.ok(201);
    crate::support::eventually("the other server is known", async || {
        some.get(CHAT).await.status == 200
    })
    .await;
    let path = "/v1/shreds";
    let both = json!({ "conversation": "room", "keyspaces": ["chat", "mail"] });
    refused(&some.post(path, &both).await, 403, "forbidden");
    let absent = json!({ "conversation": "room", "keyspaces": ["chat", "absent"] });
    refused(&some.post(path, &absent).await, 403, "forbidden");
    refused(&api.post(path, &absent).await, 404, "unknown_keyspace");
    for wrong in [
        json!({}),
        json!({ "items": [] }),
        json!({ "conversation": "room" }),
        json!({ "items": [{ "keyspace": "chat", "conversation": "room" }], "conversation": "room", "keyspaces": ["chat"] }),
        json!({ "items": [{ "keyspace": "No", "conversation": "room" }] }),
    ] {
        refused(&api.post(path, &wrong).await, 400, "invalid_request");
    }
    let wrapped = key(&api, "mail", "room").await;
    let done = api.post(path, &both).await.ok(200);
    assert_eq!(done["items"][0]["state"], "destroyed", "{done}");
    assert_eq!(done["items"][1]["state"], "destroyed", "{done}");
    refused(&api.unwrap("mail", "room", &wrapped).await, 410, "shredded");
    // The windows of both are full.
    let item = |keyspace: &str, room: &str, number| json!({ "keyspace": keyspace, "conversation": room, "id": uuid(number) });
    let items =
        json!({ "items": [item("mail", "one", 1), item("chat", "", 2), item("chat", "two", 3)] });
    let done = api.post(path, &items).await.ok(200);
    assert_eq!(done["items"][1]["error"]["code"], "invalid_request");
    assert_eq!(done["items"][0]["id"], json!(uuid(1)));
    let waiting = [&done["items"][0], &done["items"][2]].map(|it| {
        assert_eq!(it["state"], "approval_required");
        it["approval"].as_str().unwrap().to_owned()
    });
    assert_ne!(waiting[0], waiting[1]);
    for id in &waiting {
        approve(&approver, id).await.ok(200);
    }
    let again = api.post(path, &items).await.ok(200);
    assert_eq!(again["items"][2]["state"], "destroyed");
}
