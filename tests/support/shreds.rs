//! Calls that forget.

use reqwest::Method;
use serde_json::{Value, json};

use super::api::{Answer, Api};

impl Api {
    pub async fn shred(&self, keyspace: &str, conversation: &str) -> Answer {
        let path = format!("/v1/keyspaces/{keyspace}/shreds");
        self.post(&path, &json!({ "conversation": conversation }))
            .await
    }

    pub async fn shred_as(&self, keyspace: &str, conversation: &str, id: &str) -> Answer {
        let path = format!("/v1/keyspaces/{keyspace}/shreds");
        let body = json!({ "conversation": conversation, "id": id });
        self.post(&path, &body).await
    }

    /// Answered as soon as it is accepted.
    pub async fn shred_async(&self, keyspace: &str, conversation: &str) -> Answer {
        let path = format!("/v1/keyspaces/{keyspace}/shreds");
        let body = json!({ "conversation": conversation }).to_string();
        let request = self.request(Method::POST, &path);
        let request = request.header("prefer", "respond-async");
        let request = request.header("content-type", "application/json");
        Answer::of(request.body(body).send().await.unwrap()).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.raw(Method::DELETE, path, None, "").await.unwrap()).await
    }

    pub async fn rewrap(&self, keyspace: &str, conversation: &str, wrapped: &str) -> Answer {
        let path = format!("/v1/keyspaces/{keyspace}/data-keys/rewrap");
        let body = json!({ "conversation": conversation, "wrapped_key": wrapped });
        self.post(&path, &body).await
    }
}

/// Version and generation of the keys that an answer's opening names.
pub fn shredded_keys(answer: &Value) -> Vec<(u64, u64)> {
    let keys = answer["opening"]["keys"].as_array().unwrap().iter();
    keys.map(|key| {
        let number = |name: &str| key[name].as_u64().unwrap();
        (number("version"), number("generation"))
    })
    .collect()
}
