//! Many hands at once: conversations go on while others are shredded, keyspaces rotate and go, and
//! somebody copies the files.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::sync::RwLock;

use super::chance;
use super::forgetting::AGAIN;
use super::haul::{Haul, Kept};
use super::moment::Moment;
use crate::support::{Api, Dev, Role};

/// Messages of one call.
const AT_ONCE: usize = 100;

/// A run against one service.
pub struct Load<'d> {
    pub dev: &'d Dev,
    pub api: Api,
    pub operator: Api,
    pub haul: Mutex<Haul>,
    /// Held for writing where nothing may be going on.
    pub gate: RwLock<()>,
    /// The conversation of each message.
    messages: Vec<String>,
    said: AtomicUsize,
    /// Keyspace ids by name.
    ids: Mutex<HashMap<String, String>>,
}

impl<'d> Load<'d> {
    pub async fn new(dev: &'d Dev, messages: Vec<String>) -> Self {
        let load = Self {
            dev,
            api: dev.api(Role::MessageServer),
            operator: dev.api(Role::Operator),
            haul: Mutex::default(),
            gate: RwLock::default(),
            messages,
            said: AtomicUsize::new(0),
            ids: Mutex::default(),
        };
        load.learn_ids().await;
        load
    }

    pub fn into_haul(self) -> Haul {
        self.haul.into_inner().unwrap()
    }

    /// All at once; what a seizure half-way would have taken, and one that nobody stops for.
    pub async fn run(&self) -> (Moment, Moment) {
        let still = async {
            self.wait_for(45).await;
            Moment::seize(self).await
        };
        let unquiet = async {
            self.wait_for(75).await;
            Moment::glimpse(self).await
        };
        let (.., still, unquiet) = tokio::join!(
            self.talk(),
            self.shred_some(),
            self.shred_the_same_again(),
            self.rewrap_some(),
            self.rotate(),
            self.erase_and_begin_anew(),
            self.drop_an_old_version(),
            self.look_into_the_hsm(),
            self.copy_now_and_then(),
            still,
            unquiet,
        );
        // Whatever was shredded last goes on.
        self.issue("chat", &AGAIN).await;
        self.issue("chat", &AGAIN).await;
        (still, unquiet)
    }

    /// Ids are not in the API: they stand in receipts and in the database.
    pub async fn learn_ids(&self) {
        let mut database = self.dev.database().await;
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT name, lower(hex(id)) FROM keyspace")
                .fetch_all(&mut database)
                .await
                .unwrap();
        *self.ids.lock().unwrap() = rows.into_iter().collect();
    }

    fn id_of(&self, keyspace: &str) -> String {
        self.ids.lock().unwrap()[keyspace].clone()
    }

    /// In percent.
    pub fn progress(&self) -> usize {
        self.said.load(Ordering::Relaxed) * 100 / self.messages.len()
    }

    pub fn goes_on(&self) -> bool {
        self.progress() < 100
    }

    pub async fn wait_for(&self, percent: usize) {
        while self.progress() < percent {
            chance::pause(50).await;
        }
    }

    async fn talk(&self) {
        for (round, said) in self.messages.chunks(AT_ONCE).enumerate() {
            let said: Vec<&str> = said.iter().map(String::as_str).collect();
            self.issue("chat", &said).await;
            if round % 2 == 0 {
                self.issue("short", &said[..said.len().min(20)]).await;
            }
            self.said.fetch_add(said.len(), Ordering::Relaxed);
            chance::pause(200).await;
        }
    }

    /// A data key for each of these conversations.
    pub async fn issue(&self, keyspace: &str, conversations: &[&str]) {
        let _working = self.gate.read().await;
        let items: Vec<Value> = conversations
            .iter()
            .map(|conversation| json!({ "conversation": conversation }))
            .collect();
        let path = format!("/v1/keyspaces/{keyspace}/data-keys");
        let issued = self
            .api
            .post(&path, &json!({ "items": items }))
            .await
            .ok(200);
        let id = self.id_of(keyspace);
        let mut haul = self.haul.lock().unwrap();
        for item in issued["items"].as_array().unwrap() {
            let data_key = item["data_key"].as_str();
            let data_key = data_key.unwrap_or_else(|| panic!("not issued: {item}"));
            haul.keys.push(Kept::new((keyspace, &id), item, data_key));
        }
    }

    /// Some of the keys that were issued in `chat`.
    pub fn some_keys(&self, most: usize) -> Vec<Kept> {
        let haul = self.haul.lock().unwrap();
        let chat: Vec<&Kept> = haul
            .keys
            .iter()
            .filter(|key| key.keyspace == "chat")
            .collect();
        if chat.is_empty() {
            return Vec::new();
        }
        (0..most)
            .map(|_| (*chance::one_of(&chat)).clone())
            .collect()
    }

    async fn rewrap_some(&self) {
        while self.goes_on() {
            chance::pause(400).await;
            let _working = self.gate.read().await;
            let keys = self.some_keys(40);
            if keys.is_empty() {
                continue;
            }
            let items: Vec<Value> = keys.iter().map(without_keyspace).collect();
            let path = "/v1/keyspaces/chat/data-keys/rewrap";
            let rewrapped = self
                .api
                .post(path, &json!({ "items": items }))
                .await
                .ok(200);
            let mut haul = self.haul.lock().unwrap();
            for (key, item) in keys.iter().zip(rewrapped["items"].as_array().unwrap()) {
                if let Some(code) = item["error"]["code"].as_str() {
                    assert_eq!(code, "shredded");
                    haul.refused("rewrap: shredded");
                } else {
                    let keyspace = (key.keyspace.as_str(), key.keyspace_id.as_str());
                    haul.keys.push(Kept::new(keyspace, item, &key.data_key));
                }
            }
        }
    }

    async fn copy_now_and_then(&self) {
        let mut copies = 0;
        while self.goes_on() && copies < 9 {
            chance::pause(2_500).await;
            Moment::copy(self).await;
            copies += 1;
        }
    }

    /// What the service itself answers for every key now: its data key, or the code of the refusal.
    pub async fn ask_service(&self) -> Vec<String> {
        let keys = self.haul.lock().unwrap().keys.clone();
        let mut told = Vec::new();
        // Those of one keyspace follow each other often enough.
        for keys in keys.chunk_by(|one, next| one.keyspace == next.keyspace) {
            for keys in keys.chunks(1_000) {
                let items: Vec<Value> = keys.iter().map(without_keyspace).collect();
                let path = format!("/v1/keyspaces/{}/data-keys/unwrap", keys[0].keyspace);
                let answer = self
                    .api
                    .post(&path, &json!({ "items": items }))
                    .await
                    .ok(200);
                let items = answer["items"].as_array().unwrap().iter();
                let said = |item: &Value| {
                    let said = item["data_key"].as_str().or(item["error"]["code"].as_str());
                    said.unwrap().to_owned()
                };
                told.extend(items.map(said));
            }
        }
        told
    }
}

fn without_keyspace(key: &Kept) -> Value {
    json!({ "conversation": key.conversation, "wrapped_key": key.wrapped_key })
}
