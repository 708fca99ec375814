//! Keys from a source that the test controls, on a clock that the test moves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use lethe_client::{
    CacheLimits, Clock, Conversation, DataKey, Error, ErrorCode, IssuedKey, KeySource,
    KeyspaceName, Messages, Problem, Retention, Timestamp, UnwrapRequest, UnwrappedKey,
};

/// Keys of a keyspace with use of 60 s, cache of 10 s and life of 100 s.
#[derive(Clone, Default)]
pub(super) struct Keys(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    now: i64,
    cache_seconds: i64,
    issued: HashMap<String, (Conversation, u8, i64)>,
    shredded: Vec<Conversation>,
    issues: usize,
    unwraps: usize,
    batches: usize,
}

impl Clock for Keys {
    fn now(&self) -> Timestamp {
        at(self.0.lock().unwrap().now)
    }
}

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn data_key(number: u8) -> DataKey {
    DataKey::filled::<()>(|bytes| {
        bytes.fill(number);
        Ok(())
    })
    .unwrap()
}

fn problem(code: &str) -> Problem {
    Problem {
        code: ErrorCode::from(code),
        status: Some(410),
        detail: String::new(),
        retry_after: None,
        request_id: None,
    }
}

impl State {
    fn open(&self, request: &UnwrapRequest) -> Result<UnwrappedKey, Problem> {
        let found = self.issued.get(request.wrapped_key.as_str());
        let (conversation, number, expires) =
            found.ok_or_else(|| problem("invalid_wrapped_key"))?;
        if *conversation != request.conversation {
            return Err(problem("invalid_wrapped_key"));
        }
        if self.shredded.contains(conversation) {
            return Err(problem("shredded"));
        }
        if self.now >= *expires {
            return Err(problem("expired"));
        }
        Ok(UnwrappedKey {
            data_key: data_key(*number),
            version: 1,
            cache_until: at(self.now + self.cache_seconds),
            expires_at: at(*expires),
        })
    }
}

impl KeySource for Keys {
    async fn issue(
        &self,
        _: &KeyspaceName,
        conversation: &Conversation,
        retention: Option<&Retention>,
    ) -> Result<IssuedKey, Error> {
        tokio::task::yield_now().await;
        let mut state = self.0.lock().unwrap();
        state.issues += 1;
        let number = u8::try_from(state.issues).unwrap();
        let wrapped_key = format!("lethe:v1:{number}");
        let expires = state.now + if retention.is_some() { 61 } else { 100 };
        let row = (conversation.clone(), number, expires);
        state.issued.insert(wrapped_key.clone(), row);
        Ok(IssuedKey {
            data_key: data_key(number),
            wrapped_key: wrapped_key.parse().unwrap(),
            version: 1,
            use_until: at(state.now + 60),
            cache_until: at(state.now + state.cache_seconds),
            expires_at: at(expires),
        })
    }

    async fn unwrap(
        &self,
        _: &KeyspaceName,
        request: &UnwrapRequest,
    ) -> Result<UnwrappedKey, Error> {
        tokio::task::yield_now().await;
        let mut state = self.0.lock().unwrap();
        state.unwraps += 1;
        Ok(state.open(request)?)
    }

    async fn unwrap_batch(
        &self,
        _: &KeyspaceName,
        requests: &[UnwrapRequest],
    ) -> Result<Vec<Result<UnwrappedKey, Problem>>, Error> {
        let mut state = self.0.lock().unwrap();
        state.batches += 1;
        state.unwraps += requests.len();
        Ok(requests.iter().map(|request| state.open(request)).collect())
    }
}

impl Keys {
    pub(super) fn caching(seconds: i64) -> Self {
        let keys = Self::default();
        keys.0.lock().unwrap().cache_seconds = seconds;
        keys
    }

    pub(super) fn messages(&self) -> Messages<Self> {
        self.messages_with(CacheLimits::default())
    }

    pub(super) fn messages_with(&self, limits: CacheLimits) -> Messages<Self> {
        Messages::with_clock(self.clone(), limits, Arc::new(self.clone()))
    }

    /// Sets the time.
    pub(super) fn set(&self, now: i64) {
        self.0.lock().unwrap().now = now;
    }

    /// A conversation whose keys cannot be unwrapped any more.
    pub(super) fn shred(&self, conversation: Conversation) {
        self.0.lock().unwrap().shredded.push(conversation);
    }

    /// How many batches were asked for.
    pub(super) fn batches(&self) -> usize {
        self.0.lock().unwrap().batches
    }

    /// How many keys were issued, and how many unwrapped.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.0.lock().unwrap();
        (state.issues, state.unwraps)
    }
}
