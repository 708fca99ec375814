//! Everything that forgets: shreds, one or hundreds, again and again; versions and keyspaces.

use reqwest::Method;
use serde_json::{Value, json};

use super::chance;
use super::haul::Answered;
use super::load::Load;
use crate::support::api::Answer;
use crate::support::eventually;

/// Conversations that are shredded again and again.
pub const AGAIN: [&str; 8] = [
    "again 0", "again 1", "again 2", "again 3", "again 4", "again 5", "again 6", "again 7",
];

impl Load<'_> {
    /// Shreds conversations, each with an id of our own or none.
    pub async fn shred(&self, keyspace: &str, conversations: &[&str]) {
        let _working = self.gate.read().await;
        let item = |conversation: &&str| match chance::below(2) {
            0 => json!({ "conversation": conversation }),
            _ => json!({ "conversation": conversation, "id": chance::id() }),
        };
        let path = format!("/v1/keyspaces/{keyspace}/shreds");
        if let [conversation] = conversations {
            let answer = self.api.post(&path, &item(conversation)).await;
            assert!([200, 202].contains(&answer.status), "{answer:?}");
            self.keep(keyspace, answer.body);
            return;
        }
        let items: Vec<Value> = conversations.iter().map(item).collect();
        let answer = self
            .api
            .post(&path, &json!({ "items": items }))
            .await
            .ok(200);
        for item in answer["items"].as_array().unwrap() {
            self.keep(keyspace, item.clone());
        }
    }

    fn keep(&self, keyspace: &str, answer: Value) {
        assert!(answer["id"].is_string(), "not accepted: {answer}");
        let keyspace = keyspace.to_owned();
        self.haul
            .lock()
            .unwrap()
            .answers
            .push(Answered { keyspace, answer });
    }

    /// One, one, one, and some hundred; not so many that nothing is left.
    pub async fn shred_some(&self) {
        for most in [1, 1, 1, 300].repeat(10) {
            chance::pause(400).await;
            let keys = self.some_keys(most);
            let conversations: Vec<&str> =
                keys.iter().map(|key| key.conversation.as_str()).collect();
            if !conversations.is_empty() {
                self.shred("chat", &conversations).await;
            }
        }
    }

    /// The answer comes when the destruction is done, not before: what its receipt says is
    /// destroyed is not in the HSM any more.
    pub async fn look_into_the_hsm(&self) {
        while self.goes_on() {
            chance::pause(400).await;
            let _working = self.gate.read().await;
            let path = "/v1/keyspaces/chat/shreds";
            let answer = self
                .api
                .post(path, &json!({ "conversation": "never said" }))
                .await;
            let inside = self.dev.hsm_sim(&["dump", "--output", "json"]);
            for root in answer.body["receipt"]["destroyed"]
                .as_array()
                .into_iter()
                .flatten()
            {
                assert!(
                    !inside.contains(root.as_str().unwrap()),
                    "{root} in {answer:?}"
                );
            }
            self.keep("chat", answer.body);
        }
    }

    /// Conversations that go on after each shred, in the next generation.
    pub async fn shred_the_same_again(&self) {
        while self.goes_on() {
            self.issue("chat", &AGAIN).await;
            self.issue("chat", &AGAIN).await;
            // One alone, the others together; the last lives a little longer.
            self.shred("chat", &AGAIN[..1]).await;
            self.shred("chat", &AGAIN[1..7 + chance::below(2)]).await;
            chance::pause(50).await;
        }
    }

    pub async fn rotate(&self) {
        for percent in [25, 60] {
            self.wait_for(percent).await;
            let _working = self.gate.read().await;
            let path = "/v1/keyspaces/chat/versions";
            self.operator.post_bytes(path, "").await.ok(201);
        }
    }

    /// The same name again is another keyspace.
    pub async fn erase_and_begin_anew(&self) {
        let rooms = ["gone 1", "gone 2", "gone 3"];
        self.issue("gone", &rooms).await;
        self.shred("gone", &rooms[..1]).await;
        self.wait_for(50).await;
        self.issue("gone", &rooms).await;
        self.delete("gone", "/v1/keyspaces/gone").await;
        self.operator
            .set_keyspace("gone", "72h", "1h")
            .await
            .ok(201);
        self.learn_ids().await;
        self.issue("gone", &rooms).await;
    }

    pub async fn drop_an_old_version(&self) {
        let rooms = ["old 1", "old 2", "old 3"];
        self.issue("old", &rooms).await;
        self.shred("old", &rooms[1..]).await;
        let path = "/v1/keyspaces/old/versions";
        self.operator.post_bytes(path, "").await.ok(201);
        self.issue("old", &rooms).await;
        self.shred("old", &rooms[..1]).await;
        self.wait_for(70).await;
        self.delete("old", "/v1/keyspaces/old/versions/1").await;
        self.issue("old", &rooms).await;
    }

    async fn delete(&self, keyspace: &str, path: &str) {
        let _working = self.gate.read().await;
        let answer = self.operator.raw(Method::DELETE, path, None, "").await;
        let answer = Answer::of(answer.unwrap()).await;
        assert!([200, 202].contains(&answer.status), "{answer:?}");
        self.keep(keyspace, answer.body);
    }
}

/// Waits until all that was accepted is destroyed, and keeps the receipts.
pub async fn settle(load: &Load<'_>) {
    let open = |load: &Load<'_>| {
        let haul = load.haul.lock().unwrap();
        let open = haul
            .answers
            .iter()
            .position(|answered| !answered.is_destroyed());
        open.map(|place| (place, haul.answers[place].clone()))
    };
    while let Some((place, answered)) = open(load) {
        let path = format!(
            "/v1/keyspaces/{}/shreds/{}",
            answered.keyspace,
            answered.id()
        );
        let destroyed = async || {
            let shown = load.api.get(&path).await.ok(200);
            // The opening is told to the caller only.
            for member in ["state", "destroyed_at", "receipt"] {
                load.haul.lock().unwrap().answers[place].answer[member] = shown[member].clone();
            }
            shown["state"] == "destroyed"
        };
        eventually("an accepted shred is done", destroyed).await;
    }
}
