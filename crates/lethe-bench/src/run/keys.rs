//! The workloads on Lethe: issue and unwrap, one by one and in batches.

use std::net::SocketAddr;
use std::rc::Rc;

use serde_json::Value;

use crate::error::BenchError;
use crate::identity::Endpoint;
use crate::load::{Connection, Workload, head_before_length};

/// Items of a batch: the most that the service takes.
pub(super) const BATCH: u64 = 1_000;

/// Where keys of a keyspace are issued.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    /// Head of an issue, up to its body's length.
    pub(super) issue: String,
    /// Head of an unwrap, up to its body's length.
    pub(super) unwrap: String,
}

impl Keys {
    /// Of a keyspace at a server.
    pub(super) fn for_keyspace(address: SocketAddr, keyspace: &str) -> Self {
        let path = format!("/v1/keyspaces/{keyspace}/data-keys");
        Self {
            unwrap: head_before_length(&format!("{path}/unwrap"), address, ""),
            issue: head_before_length(&path, address, ""),
        }
    }
}

/// A whole request with a JSON body.
pub(super) fn write(head_before_length: &str, body: &str, into: &mut Vec<u8>) {
    into.extend_from_slice(head_before_length.as_bytes());
    into.extend_from_slice(body.len().to_string().as_bytes());
    into.extend_from_slice(b"\r\n\r\n");
    into.extend_from_slice(body.as_bytes());
}

/// An issued key and what it must unwrap to.
pub(super) struct Issued {
    pub(super) conversation: u64,
    pub(super) wrapped_key: Box<str>,
    data_key: Box<str>,
}

/// Its id.
pub(super) fn name(conversation: u64) -> String {
    format!("room-{conversation:010}")
}

/// Asks for a key.
pub(super) fn issue_item(conversation: u64) -> String {
    format!(r#"{{"conversation":"{}"}}"#, name(conversation))
}

/// Asks for a key that was issued.
pub(super) fn unwrap_item(key: &Issued) -> String {
    format!(
        r#"{{"conversation":"{}","wrapped_key":"{}"}}"#,
        name(key.conversation),
        key.wrapped_key
    )
}

/// The body of a batch.
pub(super) fn batch(items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.collect();
    format!(r#"{{"items":[{}]}}"#, items.join(","))
}

/// Issues for `conversations` in turn, from `first` on.
pub(super) struct Issue {
    pub(super) keys: Keys,
    pub(super) first: u64,
    pub(super) conversations: u64,
}

impl Issue {
    fn conversation(&self, number: u64) -> u64 {
        self.first + number % self.conversations
    }
}

impl Workload for Issue {
    fn request(&self, number: u64, into: &mut Vec<u8>) {
        write(
            &self.keys.issue,
            &issue_item(self.conversation(number)),
            into,
        );
    }

    fn status(&self) -> u16 {
        201
    }

    fn check(&self, number: u64, body: &[u8]) -> Result<(), BenchError> {
        issued(&parse(body)?, self.conversation(number)).map(drop)
    }
}

/// Issues [`BATCH`] keys a request, each for another of `conversations`, from `first` on.
pub(super) struct BatchIssue {
    pub(super) keys: Keys,
    pub(super) first: u64,
    pub(super) conversations: u64,
}

impl BatchIssue {
    fn conversation(&self, number: u64, index: u64) -> u64 {
        self.first + (number * BATCH + index) % self.conversations
    }
}

impl Workload for BatchIssue {
    fn request(&self, number: u64, into: &mut Vec<u8>) {
        let items = (0..BATCH).map(|index| issue_item(self.conversation(number, index)));
        write(&self.keys.issue, &batch(items), into);
    }

    fn status(&self) -> u16 {
        200
    }

    fn operations(&self) -> u64 {
        BATCH
    }

    fn check(&self, number: u64, body: &[u8]) -> Result<(), BenchError> {
        issued_batch(body, |index| self.conversation(number, index)).map(drop)
    }
}

/// Unwraps keys in turn.
pub(super) struct Unwrap {
    pub(super) keys: Keys,
    pub(super) issued: Rc<[Issued]>,
}

impl Unwrap {
    fn key(&self, number: u64) -> &Issued {
        &self.issued[number as usize % self.issued.len()]
    }
}

impl Workload for Unwrap {
    fn request(&self, number: u64, into: &mut Vec<u8>) {
        write(&self.keys.unwrap, &unwrap_item(self.key(number)), into);
    }

    fn status(&self) -> u16 {
        200
    }

    fn check(&self, number: u64, body: &[u8]) -> Result<(), BenchError> {
        opened(&parse(body)?, self.key(number))
    }
}

/// Unwraps [`BATCH`] keys a request. Requests are written before: a batch of text takes the
/// generator as long as it takes the server to open it.
pub(super) struct BatchUnwrap {
    issued: Rc<[Issued]>,
    requests: Vec<Vec<u8>>,
}

impl BatchUnwrap {
    /// Over all of `issued`, a whole number of batches.
    pub(super) fn new(keys: &Keys, issued: Rc<[Issued]>) -> Self {
        let request = |keys_of_one: &[Issued]| {
            let mut request = Vec::new();
            write(
                &keys.unwrap,
                &batch(keys_of_one.iter().map(unwrap_item)),
                &mut request,
            );
            request
        };
        let requests = issued.chunks_exact(BATCH as usize).map(request).collect();
        Self { issued, requests }
    }

    fn index(&self, number: u64) -> usize {
        number as usize % self.requests.len()
    }
}

impl Workload for BatchUnwrap {
    fn request(&self, number: u64, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.requests[self.index(number)]);
    }

    fn status(&self) -> u16 {
        200
    }

    fn operations(&self) -> u64 {
        BATCH
    }

    fn check(&self, number: u64, body: &[u8]) -> Result<(), BenchError> {
        let first = self.index(number) * BATCH as usize;
        let keys = &self.issued[first..first + BATCH as usize];
        let answer = parse(body)?;
        let items = items(&answer)?;
        items
            .iter()
            .zip(keys)
            .try_for_each(|(item, key)| opened(item, key))
    }
}

/// Issues `count` keys (whole batches) for `conversations` in turn, from `first` on, over one
/// connection.
pub(super) async fn issue_all(
    endpoint: &Endpoint,
    keyspace: &str,
    count: u64,
    first: u64,
    conversations: u64,
) -> Result<Rc<[Issued]>, BenchError> {
    let workload = BatchIssue {
        keys: Keys::for_keyspace(endpoint.address, keyspace),
        first,
        conversations,
    };
    let mut connection = Connection::open(endpoint).await?;
    let mut all = Vec::with_capacity(count as usize);
    let mut request = Vec::new();
    for number in 0..count / BATCH {
        request.clear();
        workload.request(number, &mut request);
        let answer = connection
            .exchange(&request)
            .await
            .map_err(BenchError::io("issuing keys before measuring"))?;
        let keys = issued_batch(&answer.body, |index| workload.conversation(number, index))?;
        all.extend(keys);
    }
    Ok(all.into())
}

/// The JSON in a body.
pub(super) fn parse(body: &[u8]) -> Result<Value, BenchError> {
    serde_json::from_slice(body).map_err(|error| BenchError::WrongAnswer(error.to_string()))
}

fn items(answer: &Value) -> Result<&[Value], BenchError> {
    match answer["items"].as_array() {
        Some(items) if items.len() == BATCH as usize => Ok(items),
        _ => Err(BenchError::WrongAnswer(
            "not as many items as asked for".into(),
        )),
    }
}

/// The keys in an answer to [`BATCH`] issues.
pub(super) fn issued_batch(
    body: &[u8],
    conversation: impl Fn(u64) -> u64,
) -> Result<Vec<Issued>, BenchError> {
    let answer = parse(body)?;
    let items = items(&answer)?;
    (0..)
        .zip(items)
        .map(|(index, item)| issued(item, conversation(index)))
        .collect()
}

fn issued(answer: &Value, conversation: u64) -> Result<Issued, BenchError> {
    let text = |field: &str| answer[field].as_str().unwrap_or_default();
    let right = text("conversation") == name(conversation)
        && text("data_key").len() == 44
        && text("wrapped_key").starts_with("lethe:v1:");
    if !right {
        // Not shown whole: it may hold a key.
        let error = &answer["error"];
        return Err(BenchError::WrongAnswer(format!(
            "not the key asked for; error: {error}"
        )));
    }
    Ok(Issued {
        conversation,
        wrapped_key: text("wrapped_key").into(),
        data_key: text("data_key").into(),
    })
}

/// Whether an answer to an unwrap holds the key that was issued.
pub(super) fn opened(answer: &Value, key: &Issued) -> Result<(), BenchError> {
    if answer["data_key"].as_str() == Some(&key.data_key) {
        Ok(())
    } else {
        let error = &answer["error"];
        Err(BenchError::WrongAnswer(format!(
            "not the key that was issued; error: {error}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key() -> Issued {
        Issued {
            conversation: 7,
            wrapped_key: "lethe:v1:x".into(),
            data_key: "k".repeat(44).into(),
        }
    }

    #[test]
    fn only_the_right_answer_is_right() {
        let good = json!({"conversation": "room-0000000007", "data_key": "k".repeat(44), "wrapped_key": "lethe:v1:x"});
        assert!(issued(&good, 7).is_ok());
        assert!(issued(&good, 8).is_err(), "another conversation's");
        assert!(opened(&good, &key()).is_ok());
        let other = json!({"data_key": "l".repeat(44)});
        assert!(opened(&other, &key()).is_err(), "another key");
        assert!(opened(&json!({"error": {"code": "expired"}}), &key()).is_err());
    }

    #[test]
    fn a_batch_with_an_item_too_few_is_wrong() {
        let few = json!({"items": [{}]});
        assert!(items(&few).is_err());
    }

    #[test]
    fn requests_are_whole_and_parse() {
        let keys = Keys::for_keyspace(SocketAddr::from(([127, 0, 0, 1], 1)), "chat");
        let issued: Rc<[Issued]> = (0..BATCH).map(|_| key()).collect();
        let workload = BatchUnwrap::new(&keys, issued);
        let mut request = Vec::new();
        workload.request(3, &mut request);
        let text = String::from_utf8(request).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /v1/keyspaces/chat/data-keys/unwrap HTTP/1.1\r\n"));
        assert!(head.ends_with(&format!("content-length: {}", body.len())));
        assert_eq!(
            items(&parse(body.as_bytes()).unwrap()).unwrap().len(),
            1_000
        );
    }
}
