//! Shredding as clients see it: what is gone, what goes on, what is said of it.

use crate::support::shreds::shredded_keys;
use crate::support::{Api, Dev, Role, WAIT_LIMIT, eventually, refused};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

const SHREDS: &str = "/v1/keyspaces/chat/shreds";

fn generation(wrapped: &str) -> u16 {
    let wrapped: lethe_core::wrapped_key::WrappedKey = wrapped.parse().unwrap();
    wrapped.header().generation.number()
}

async fn issued(api: &Api, conversation: &str) -> String {
    api.issue("chat", conversation).await.text("wrapped_key")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_is_gone_and_goes_on() {
    let mut dev = Dev::start();
    let api = dev.api(Role::MessageServer);
    let (old, other) = (issued(&api, "room").await, issued(&api, "other").await);
    let done = api.shred("chat", "room").await.ok(200);
    assert_eq!(done["state"], "destroyed");
    assert_eq!(shredded_keys(&done), [(1, 0)]);
    for field in ["accepted_at", "destroyed_at", "leases_end_at", "id"] {
        assert!(done[field].is_string(), "{field}: {done}");
    }
    assert!(!done["receipt"].to_string().contains("room"), "{done}");
    refused(&api.unwrap("chat", "room", &old).await, 410, "shredded");
    refused(&api.rewrap("chat", "room", &old).await, 410, "shredded");
    api.unwrap("chat", "other", &other).await.ok(200);

    let new = issued(&api, "room").await;
    assert_eq!(generation(&new), 1);
    api.unwrap("chat", "room", &new).await.ok(200);
    let id = done["id"].as_str().unwrap();
    for role in Role::ALL {
        let shown = dev.api(role).get(&format!("{SHREDS}/{id}")).await.ok(200);
        assert_eq!(shown["receipt"], done["receipt"]);
        assert_eq!(shown["state"], "destroyed");
    }
    // All of it after a restart, from the store.
    dev.stop();
    dev.run();
    let api = dev.api(Role::MessageServer);
    refused(&api.unwrap("chat", "room", &old).await, 410, "shredded");
    api.unwrap("chat", "room", &new).await.ok(200);
    api.unwrap("chat", "other", &other).await.ok(200);
    let shown = api.get(&format!("{SHREDS}/{id}")).await.ok(200);
    assert_eq!(shown["receipt"], done["receipt"]);
    assert_eq!(
        shredded_keys(&api.shred("chat", "room").await.ok(200)),
        [(1, 1)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn shreds_at_the_same_time_are_one_and_one_after_a_new_key_is_another() {
    let dev = Dev::start();
    let api = dev.api(Role::MessageServer);
    let calls = (0..8).map(|_| {
        let api = api.clone();
        tokio::spawn(async move { api.shred("chat", "room").await.ok(200) })
    });
    let mut generations = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        generations.extend(shredded_keys(&call.await.unwrap()));
    }
    // Nothing was issued in between, so whoever came while one ran joined it.
    let next = generation(&issued(&api, "room").await);
    generations.sort_unstable();
    generations.dedup();
    assert_eq!(generations.len(), usize::from(next));

    // While the HSM is slow, a second shred joins the first until a key of the next generation leaves.
    dev.hsm_sim(&["fault", "set", "latency-ms", "150"]);
    let first = api.shred_async("chat", "slow").await.ok(202);
    let joined = api.shred_async("chat", "slow").await.ok(202);
    assert_eq!(shredded_keys(&first), shredded_keys(&joined));
    assert_ne!(first["id"], joined["id"]);
    let between = issued(&api, "slow").await;
    let third = api.shred_async("chat", "slow").await.ok(202);
    assert_eq!(shredded_keys(&third), [(1, 1)]);
    refused(&api.unwrap("chat", "slow", &between).await, 410, "shredded");
    dev.hsm_sim(&["fault", "clear", "--all"]);
    for accepted in [first, joined, third] {
        assert_eq!(accepted["state"], "accepted");
        let path = format!("{SHREDS}/{}", accepted["id"].as_str().unwrap());
        eventually("it is destroyed", async || {
            api.get(&path).await.ok(200)["state"] == "destroyed"
        })
        .await;
    }
}

/// From the answer on (and from acceptance on) no key of the old generation comes out by any call,
/// whatever runs at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_key_of_the_old_generation_leaves_after_acceptance() {
    let dev = Dev::start();
    let api = dev.api(Role::MessageServer);
    // How many calls of each kind began before a shred was asked for and ended after it was accepted.
    let mut across = [0; 3];
    for round in 0..10 {
        let room = format!("room {round}");
        let old = issued(&api, &room).await;
        let (shred, seen) = watch::channel(Shred::NotAsked);
        let (begun, mut has_begun) = mpsc::channel(6);
        let callers: Vec<_> = (0..6)
            .map(|number| {
                let caller = Caller {
                    kind: number % 3,
                    api: api.clone(),
                    room: room.clone(),
                    old: old.clone(),
                    shred: seen.clone(),
                };
                tokio::spawn(caller.call_until_accepted(begun.clone()))
            })
            .collect();
        for _ in &callers {
            let first = tokio::time::timeout(WAIT_LIMIT, has_begun.recv());
            first.await.unwrap().unwrap();
        }
        shred.send_replace(Shred::Asked);
        let accepted = api.shred_async("chat", &room).await.ok(202);
        let shredded = shredded_keys(&accepted)[0].1;
        shred.send_replace(Shred::Accepted);
        let after = issued(&api, &room).await;
        assert!(u64::from(generation(&after)) > shredded);
        refused(&api.unwrap("chat", &room, &old).await, 410, "shredded");
        refused(&api.rewrap("chat", &room, &old).await, 410, "shredded");
        for (number, caller) in callers.into_iter().enumerate() {
            across[number % 3] += caller.await.unwrap();
        }
    }
    assert!(across.iter().all(|calls| *calls > 0), "{across:?}");
}

/// How far a shred is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shred {
    NotAsked,
    Asked,
    Accepted,
}

/// Issues, unwraps or rewraps, one call behind the other.
struct Caller {
    kind: usize,
    api: Api,
    room: String,
    old: String,
    shred: watch::Receiver<Shred>,
}

impl Caller {
    /// What it got before the shred is its own; what it asked for after acceptance is refused, or of the
    /// next generation. Gives how many calls began before the shred was asked for and ended after it was
    /// accepted.
    async fn call_until_accepted(self, begun: mpsc::Sender<()>) -> usize {
        let mut across = 0;
        let mut first = true;
        loop {
            let before = *self.shred.borrow();
            let old_came_out = self.call().await;
            let after = *self.shred.borrow();
            if std::mem::take(&mut first) {
                begun.send(()).await.unwrap();
            }
            match (before, after) {
                (_, Shred::NotAsked) => assert!(old_came_out, "nobody asked for a shred"),
                (Shred::Accepted, _) => {
                    assert!(!old_came_out, "asked after acceptance");
                    return across;
                }
                (Shred::NotAsked, Shred::Accepted) => across += 1,
                _ => {}
            }
        }
    }

    /// Whether a key of the old generation came out.
    async fn call(&self) -> bool {
        let (room, old) = (&self.room, &self.old);
        let answer = match self.kind {
            0 => self.api.issue("chat", room).await,
            1 => self.api.unwrap("chat", room, old).await,
            _ => self.api.rewrap("chat", room, old).await,
        };
        match (self.kind, answer.status) {
            (0, 201) => generation(&answer.text("wrapped_key")) == 0,
            (1 | 2, 200) => true,
            (1 | 2, 410) => false,
            (_, status) => panic!("{status} {}", answer.body),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_and_keyspaces_are_dropped_whole() {
    let mut dev = Dev::start();
    let (api, operator) = (dev.api(Role::MessageServer), dev.api(Role::Operator));
    let versions = "/v1/keyspaces/chat/versions";
    let first = issued(&api, "room").await;
    let rotated = operator.post_bytes(versions, "").await.ok(201);
    assert_eq!(rotated["versions"].as_array().unwrap().len(), 2);
    let second = issued(&api, "room").await;
    let moved = api.rewrap("chat", "room", &first).await.ok(200);
    assert_eq!(moved["version"], 2);
    // A shred is of every live version.
    assert_eq!(
        shredded_keys(&operator.shred("chat", "gone").await.ok(200)),
        [(1, 0), (2, 0)]
    );
    refused(
        &operator.delete(&format!("{versions}/2")).await,
        409,
        "conflict",
    );
    refused(
        &operator.delete(&format!("{versions}/9")).await,
        404,
        "not_found",
    );
    refused(
        &operator.delete(&format!("{versions}/0")).await,
        400,
        "invalid_request",
    );
    refused(
        &api.delete(&format!("{versions}/1")).await,
        403,
        "forbidden",
    );
    let dropped = operator.delete(&format!("{versions}/1")).await.ok(200);
    assert_eq!(dropped["receipt"]["item"]["kind"], "version_drop");
    refused(
        &api.unwrap("chat", "room", &first).await,
        410,
        "version_retired",
    );
    api.unwrap("chat", "room", &second).await.ok(200);
    let moved = moved["wrapped_key"].as_str().unwrap();
    api.unwrap("chat", "room", moved).await.ok(200);

    let erased = operator.delete("/v1/keyspaces/chat").await.ok(200);
    assert_eq!(erased["receipt"]["item"]["kind"], "keyspace_erase");
    refused(
        &api.unwrap("chat", "room", &second).await,
        404,
        "unknown_keyspace",
    );
    refused(
        &operator.delete("/v1/keyspaces/chat").await,
        404,
        "unknown_keyspace",
    );
    let id = erased["id"].as_str().unwrap();
    let shown = operator.get(&format!("{SHREDS}/{id}")).await.ok(200);
    assert_eq!(shown["receipt"], erased["receipt"]);
    // One of the same name is another.
    operator.set_keyspace("chat", "48h", "1h").await.ok(201);
    refused(
        &api.unwrap("chat", "room", &second).await,
        400,
        "invalid_wrapped_key",
    );
    dev.stop();
    dev.run();
    dev.api(Role::MessageServer)
        .issue("chat", "room")
        .await
        .ok(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expiry_has_its_receipt() {
    let dev = Dev::start();
    let operator = dev.api(Role::Operator);
    operator.set_keyspace("brief", "1s", "1s").await.ok(201);
    eventually("a bucket expires", async || {
        let listed = dev.api(Role::Auditor).get("/v1/expiries?limit=5").await;
        let listed = listed.ok(200);
        let expiries = listed["expiries"].as_array().unwrap();
        let kind = |expiry: &Value| expiry["receipt"]["item"]["kind"] == "bucket_expiry";
        !expiries.is_empty() && expiries.iter().all(kind)
    })
    .await;
    for bad in ["limit=0", "limit=x", "after=-1", "other=1"] {
        let answer = operator.get(&format!("/v1/expiries?{bad}")).await;
        refused(&answer, 400, "invalid_request");
    }
}
