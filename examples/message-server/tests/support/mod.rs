//! Keys in memory instead of Lethe, and a message server on top of them.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)] // each test file uses its part

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use lethe_client::{
    Conversation, DataKey, Error, ErrorCode, IssuedKey, KeySource, KeyspaceName, Problem,
    Retention, Shred, ShredRequest, Shredded, Timestamp, UnwrapRequest, UnwrappedKey,
};
use message_server::chat::{Chat, Keys};
use message_server::store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

/// Rows and columns as Lethe has them, in milliseconds of the real clock.
#[derive(Clone)]
pub struct MemoryKeys {
    state: Arc<Mutex<State>>,
    retention: i64,
    granularity: i64,
}

#[derive(Default)]
struct State {
    issued: HashMap<String, Row>,
    shredded: HashMap<String, Vec<String>>,
    expire_all: bool,
    down: bool,
    /// The conversation whose shreds wait for a second operator.
    waits: Option<Conversation>,
    issues: usize,
    shreds: Vec<ShredRequest>,
}

struct Row {
    conversation: Conversation,
    key: [u8; 32],
    expires_at: i64,
    shredded: bool,
}

fn instant(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap()
}

fn data_key(bytes: &[u8; 32]) -> DataKey {
    DataKey::filled::<()>(|key| {
        key.copy_from_slice(bytes);
        Ok(())
    })
    .unwrap()
}

fn problem(status: u16, code: &str) -> Problem {
    Problem {
        code: ErrorCode::from(code),
        status: Some(status),
        detail: String::new(),
        retry_after: None,
        request_id: None,
    }
}

impl MemoryKeys {
    pub fn new(retention: i64, granularity: i64) -> Self {
        Self {
            state: Arc::default(),
            retention,
            granularity,
        }
    }

    /// Keys of an hour.
    pub fn lasting() -> Self {
        Self::new(3_600_000, 60_000)
    }

    pub fn expire_all(&self) {
        self.state.lock().unwrap().expire_all = true;
    }

    pub fn set_down(&self, down: bool) {
        self.state.lock().unwrap().down = down;
    }

    pub fn set_waits(&self, conversation: Option<&str>) {
        let conversation = conversation.map(|it| it.parse().unwrap());
        self.state.lock().unwrap().waits = conversation;
    }

    pub fn issues(&self) -> usize {
        self.state.lock().unwrap().issues
    }

    pub fn shreds(&self) -> Vec<ShredRequest> {
        self.state.lock().unwrap().shreds.clone()
    }

    fn up(&self) -> Result<(), Error> {
        match self.state.lock().unwrap().down {
            true => Err(problem(503, "hsm_unavailable").into()),
            false => Ok(()),
        }
    }

    fn open(&self, request: &UnwrapRequest) -> Result<UnwrappedKey, Problem> {
        let state = self.state.lock().unwrap();
        let row = state.issued.get(request.wrapped_key.as_str());
        let row = row
            .filter(|row| row.conversation == request.conversation)
            .ok_or_else(|| problem(400, "invalid_wrapped_key"))?;
        if row.shredded {
            return Err(problem(410, "shredded"));
        }
        if state.expire_all || Timestamp::now().as_millisecond() >= row.expires_at {
            return Err(problem(410, "expired"));
        }
        Ok(UnwrappedKey {
            data_key: data_key(&row.key),
            version: 1,
            cache_until: instant(row.expires_at),
            expires_at: instant(row.expires_at),
        })
    }
}

impl KeySource for MemoryKeys {
    async fn issue(
        &self,
        _: &KeyspaceName,
        conversation: &Conversation,
        _: Option<&Retention>,
    ) -> Result<IssuedKey, Error> {
        self.up()?;
        let now = Timestamp::now().as_millisecond();
        let use_until = (now / self.granularity + 1) * self.granularity;
        let expires_at = use_until + self.retention;
        let mut key = [0; 32];
        key[..16].copy_from_slice(Uuid::new_v4().as_bytes());
        key[16..].copy_from_slice(Uuid::new_v4().as_bytes());
        let wrapped_key = format!("lethe:v1:{}", Uuid::new_v4());
        let mut state = self.state.lock().unwrap();
        state.issues += 1;
        let row = Row {
            conversation: conversation.clone(),
            key,
            expires_at,
            shredded: false,
        };
        state.issued.insert(wrapped_key.clone(), row);
        Ok(IssuedKey {
            data_key: data_key(&key),
            wrapped_key: wrapped_key.parse().unwrap(),
            version: 1,
            use_until: instant(use_until),
            cache_until: instant(use_until),
            expires_at: instant(expires_at),
        })
    }

    async fn unwrap(
        &self,
        _: &KeyspaceName,
        request: &UnwrapRequest,
    ) -> Result<UnwrappedKey, Error> {
        self.up()?;
        Ok(self.open(request)?)
    }

    async fn unwrap_batch(
        &self,
        _: &KeyspaceName,
        requests: &[UnwrapRequest],
    ) -> Result<Vec<Result<UnwrappedKey, Problem>>, Error> {
        self.up()?;
        Ok(requests.iter().map(|request| self.open(request)).collect())
    }
}

impl Keys for MemoryKeys {
    async fn shred(&self, _: &KeyspaceName, request: &ShredRequest) -> Result<Shred, Error> {
        self.state.lock().unwrap().shreds.push(request.clone());
        self.up()?;
        let mut state = self.state.lock().unwrap();
        if state.waits.as_ref() == Some(request.conversation()) {
            return Err(problem(202, "approval_required").into());
        }
        for row in state.issued.values_mut() {
            row.shredded |= row.conversation == *request.conversation();
        }
        let now = Timestamp::now();
        Ok(Shred::Destroyed(Box::new(Shredded {
            id: request.id(),
            accepted_at: now,
            destroyed_at: now,
            leases_end_at: now,
            receipt: json!({"signed": true}),
            opening: Value::Null,
        })))
    }
}

/// A running message server.
pub struct Server {
    pub dir: TempDir,
    pub address: String,
    pub chat: Arc<Chat<MemoryKeys>>,
    http: reqwest::Client,
}

impl Server {
    pub async fn start(keys: &MemoryKeys) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("messages.db")).await.unwrap();
        let keyspace = "chat".parse().unwrap();
        let chat = Chat::new(store, keyspace, keys.clone(), keys.clone(), 0);
        let chat = Arc::new(chat);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = message_server::http::router(Arc::clone(&chat));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            dir,
            address,
            chat,
            http: message_server::replay::server::plain_http().unwrap(),
        }
    }

    pub async fn send(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.address));
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_owned());
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let header = |name| {
            response
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let (kind, retry_after) = (header("content-type"), header("retry-after"));
        let body = response.bytes().await.unwrap();
        Answer {
            status,
            kind: kind.unwrap_or_default(),
            retry_after,
            json: serde_json::from_slice(&body).unwrap_or(Value::Null),
        }
    }

    pub async fn post(&self, room: &str, body: Value) -> Answer {
        let path = format!("/rooms/{room}/messages");
        self.send("POST", &path, Some(&body.to_string())).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub kind: String,
    pub retry_after: Option<String>,
    pub json: Value,
}

impl Answer {
    /// Status and code of a problem document.
    pub fn problem(&self) -> (u16, &str) {
        assert_eq!(self.kind, "application/problem+json", "{self:?}");
        assert_eq!(self.json["status"], self.status);
        (self.status, self.json["code"].as_str().unwrap())
    }
}
