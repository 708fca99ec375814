//! What was kept of a run: every wrapped key, every answer to a shred, every copy.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::PathBuf;

use lethe_core::wrapped_key::{Header, WrappedKey};
use serde_json::{Value, json};

/// A data key, as the message server stores it, and the truth about it.
#[derive(Debug, Clone)]
pub struct Kept {
    pub keyspace: String,
    /// The keyspace's id: one that was erased and made again is another.
    pub keyspace_id: String,
    pub conversation: String,
    pub wrapped_key: String,
    pub header: Header,
    pub data_key: String,
}

impl Kept {
    pub fn new(keyspace: (&str, &str), item: &Value, data_key: &str) -> Self {
        let wrapped_key = item["wrapped_key"].as_str().unwrap().to_owned();
        Self {
            keyspace: keyspace.0.to_owned(),
            keyspace_id: keyspace.1.to_owned(),
            conversation: item["conversation"].as_str().unwrap().to_owned(),
            header: wrapped_key.parse::<WrappedKey>().unwrap().header(),
            wrapped_key,
            data_key: data_key.to_owned(),
        }
    }

    /// What the message server stores.
    pub fn stored(&self) -> Value {
        json!({ "keyspace": self.keyspace, "conversation": self.conversation,
                "wrapped_key": self.wrapped_key })
    }
}

/// An answer to a request to forget, and the path of its keyspace.
#[derive(Debug, Clone)]
pub struct Answered {
    pub keyspace: String,
    pub answer: Value,
}

impl Answered {
    pub fn id(&self) -> &str {
        self.answer["id"].as_str().unwrap()
    }

    pub fn is_destroyed(&self) -> bool {
        self.answer["state"] == "destroyed"
    }
}

/// All of it.
#[derive(Default)]
pub struct Haul {
    pub keys: Vec<Kept>,
    pub answers: Vec<Answered>,
    pub copies: Vec<PathBuf>,
    /// Refusals by code, for the report.
    pub refused: BTreeMap<String, usize>,
}

impl Haul {
    pub fn refused(&mut self, code: &str) {
        *self.refused.entry(code.to_owned()).or_default() += 1;
    }
}

impl fmt::Display for Haul {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conversations: HashSet<_> = self.keys.iter().map(|key| &key.conversation).collect();
        let generation = self.keys.iter().map(|key| key.header.generation).max();
        write!(
            f,
            "{} keys of {} conversations up to {generation:?}, {} answers to shreds, {} copies, refused {:?}",
            self.keys.len(),
            conversations.len(),
            self.answers.len(),
            self.copies.len(),
            self.refused,
        )
    }
}
