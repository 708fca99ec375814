//! Nodes forget too: what is looked for in the memory of the running service, and is not there.

use std::collections::HashSet;

use crate::support::memory::{Memory, Needles};
use crate::support::seized::Seized;
use crate::support::{Api, Dev, Role, eventually};
use base64ct::{Base64, Encoding};
use lethe::node::clock::SystemClock;
use lethe_core::ports::Clock;
use serde_json::{Value, json};

const ISSUE: &str = "/v1/keyspaces/chat/data-keys";
const UNWRAP: &str = "/v1/keyspaces/chat/data-keys/unwrap";

/// What any moment of the service holds: it shows that a scan finds what is there.
const LIVE: &[u8] = b"spiffe://lethe.dev/message-server";

/// Data keys by issue and unwrap, one by one and in batches, as the service answered them.
async fn many_keys(api: Api, name: String) -> Vec<Value> {
    let mut keys = Vec::new();
    for number in 0..200 {
        let room = format!("{name} {number}");
        keys.push(api.issue("chat", &room).await.ok(201));
    }
    for batch in 0..3 {
        let rooms = (0..500).map(|number| format!("{name} {batch} {number}"));
        let items: Vec<_> = rooms.map(|room| json!({ "conversation": room })).collect();
        let issued = api.post(ISSUE, &json!({ "items": items })).await.ok(200);
        keys.extend(issued["items"].as_array().unwrap().iter().cloned());
    }
    let stored = |key: &Value| json!({ "conversation": key["conversation"], "wrapped_key": key["wrapped_key"] });
    let items: Vec<_> = keys.iter().take(700).map(stored).collect();
    let opened = api.post(UNWRAP, &json!({ "items": items })).await.ok(200);
    assert_eq!(opened["items"][0]["data_key"], keys[0]["data_key"]);
    for key in keys.iter().rev().take(50) {
        let opened = api.post(UNWRAP, &stored(key)).await.ok(200);
        assert_eq!(opened["data_key"], key["data_key"]);
    }
    keys
}

/// As bytes and as text.
fn needles(keys: &[Value]) -> Needles {
    let mut needles = Needles::default();
    for key in keys {
        let text = key["data_key"].as_str().unwrap();
        let name = format!("data key of {}", key["conversation"]);
        needles.add_halves(&name, &Base64::decode_vec(text).unwrap());
        needles.add_halves(&format!("text of the {name}"), &text.as_bytes()[..40]);
    }
    needles
}

fn nothing_of(memory: &Memory, gone: &Needles) {
    let mut live = Needles::default();
    live.add("live", LIVE);
    assert!(!memory.find(&live).is_empty(), "the scan finds nothing");
    let found = memory.find(gone);
    let some = &found[..found.len().min(10)];
    assert!(found.is_empty(), "{} places: {some:#?}", found.len());
}

async fn no_connections(dev: &Dev) {
    let none = async || dev.metric("lethe_connections").await == 0;
    eventually("no connection is open", none).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_data_key_stays_behind_a_connection() {
    let dev = Dev::start();
    let clients = [
        dev.api(Role::MessageServer),
        dev.api(Role::MessageServer),
        Api::http1(&dev, Role::MessageServer),
        Api::http1(&dev, Role::MessageServer),
    ];
    let load = clients.into_iter().enumerate();
    let load: Vec<_> = load
        .map(|(number, api)| tokio::spawn(many_keys(api, format!("room {number}"))))
        .collect();
    let mut keys = Vec::new();
    for task in load {
        keys.extend(task.await.unwrap());
    }
    assert_eq!(keys.len(), 4 * 1_700);
    no_connections(&dev).await;
    let Some(memory) = Memory::of(&dev) else {
        return;
    };
    nothing_of(&memory, &needles(&keys));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_keeps_no_data_key() {
    let dev = Dev::start_with(|text| {
        text.replace("certificate =", "idle_timeout = \"1s\"\ncertificate =")
    });
    let http1 = Api::http1(&dev, Role::MessageServer);
    let keys = many_keys(http1.clone(), "room".into()).await;
    // The client may have its answer a moment before the service has done with it.
    eventually("the service has done with them", async || {
        dev.metric("lethe_requests_under_way").await == 0
    })
    .await;
    assert!(dev.metric("lethe_connections").await > 0);
    let Some(memory) = Memory::of(&dev) else {
        return;
    };
    nothing_of(&memory, &needles(&keys));
    drop(http1);

    let api = dev.api(Role::MessageServer);
    let keys = many_keys(api.clone(), "other room".into()).await;
    no_connections(&dev).await;
    nothing_of(&Memory::of(&dev).unwrap(), &needles(&keys));
    api.issue("chat", "on a new connection").await.ok(201);
}

/// The scan finds what must be there.
fn all_live(memory: &Memory, secrets: &[Vec<u8>]) {
    let mut live = Needles::default();
    for (number, secret) in secrets.iter().enumerate() {
        live.add(&number.to_string(), secret);
    }
    let found: HashSet<_> = memory.find(&live).into_iter().map(|one| one.name).collect();
    assert!(
        found.len() == secrets.len() && !found.is_empty(),
        "{found:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_bucket_key_is_wiped() {
    let dev = Dev::start();
    let operator = dev.api(Role::Operator);
    operator.set_keyspace("short", "8s", "1s").await.ok(201);
    let buckets = Seized::take(&dev).await.buckets().await;
    let Some(memory) = Memory::of(&dev) else {
        return;
    };
    let now = SystemClock.now().as_millis() / 1_000;
    // One that expires between the two looks may be there or not.
    let live = buckets.into_iter().filter(|(expiry, _)| *expiry > now);
    let soon = now + 12;
    let (expiring, others): (Vec<_>, Vec<_>) = live.partition(|(expiry, _)| *expiry <= soon);
    let keys = |buckets: &[(u64, Vec<u8>)]| -> Vec<_> {
        buckets.iter().map(|(_, key)| key.clone()).collect()
    };
    all_live(&memory, &keys(&expiring));
    all_live(&memory, &keys(&others));

    let mut gone = Needles::default();
    for key in keys(&expiring) {
        gone.add_halves("expired bucket key", &key);
    }
    eventually("they are destroyed", async || {
        let live = Seized::take(&dev).await.buckets().await;
        live.iter().all(|(expiry, _)| *expiry > soon)
    })
    .await;
    nothing_of(&Memory::of(&dev).unwrap(), &gone);
}

/// Keys of conversations that were asked for are at hand, but for those that were shredded.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_shredded_conversation_is_wiped() {
    let dev = Dev::start();
    let api = dev.api(Role::MessageServer);
    let tree = Seized::take(&dev).await.whole_tree().await;
    let rooms = ["a", "b", "c", "d"];
    for room in rooms {
        api.issue("chat", room).await.ok(201);
    }
    let Some(memory) = Memory::of(&dev) else {
        return;
    };
    let keys = rooms.map(|room| tree.conversation_key(room));
    all_live(&memory, &keys);
    for room in &rooms[..3] {
        api.shred("chat", room).await.ok(200);
    }
    let mut gone = Needles::default();
    for key in &keys[..3] {
        gone.add_halves("key of a shredded conversation", key);
    }
    let memory = Memory::of(&dev).unwrap();
    nothing_of(&memory, &gone);
    all_live(&memory, &keys[3..]);
}

/// What opens a shredded key is replaced by what does not; the old must not live on in the node.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_shred_replaces_is_wiped() {
    let dev = Dev::start();
    let api = dev.api(Role::MessageServer);
    let mut replaced = Vec::new();
    // The first shred replaces a whole tree's seed, later ones keys of pages.
    for room in ["a", "b", "c"] {
        let before = Seized::take(&dev).await.tops().await;
        let Some(memory) = Memory::of(&dev) else {
            return;
        };
        all_live(&memory, &before);
        api.issue("chat", room).await.ok(201);
        api.shred("chat", room).await.ok(200);
        let after = Seized::take(&dev).await.tops().await;
        replaced.extend(before.into_iter().filter(|key| !after.contains(key)));
    }
    assert_eq!(replaced.len(), 3);
    let mut gone = Needles::default();
    for key in &replaced {
        gone.add_halves("what a shred replaced", key);
    }
    nothing_of(&Memory::of(&dev).unwrap(), &gone);
}
