//! Requests to shred, and what is right to answer.

use std::cell::Cell;
use std::net::SocketAddr;

use serde_json::Value;

use super::super::keys::{batch, name, parse, write};
use super::site::KEYSPACE;
use crate::clock;
use crate::error::BenchError;
use crate::load::{Workload, head_before_length};

/// How each shred that is done shows in an answer's text.
const DESTROYED: &str = r#""state":"destroyed""#;
/// Base64 of an Ed25519 signature.
const SIGNATURE_LENGTH: usize = 88;

/// Shreds conversations one after the other, each once.
pub(super) struct Shred {
    head: String,
    /// Conversations in a request; one alone is sent without a list.
    size: u64,
    /// The number of the first conversation.
    first: u64,
    requests: Cell<u64>,
}

impl Shred {
    pub(super) fn new(address: SocketAddr, size: u64, first: u64) -> Self {
        let path = format!("/v1/keyspaces/{KEYSPACE}/shreds");
        Self {
            head: head_before_length(&path, address, ""),
            size,
            first,
            requests: Cell::new(0),
        }
    }

    /// How many were asked for: what the service may have shredded.
    pub(super) fn shreds(&self) -> u64 {
        self.requests.get() * self.size
    }

    /// The number of the next request.
    pub(super) fn next(&self) -> u64 {
        self.requests.get()
    }

    fn conversations(&self, number: u64) -> std::ops::Range<u64> {
        let first = self.first + number * self.size;
        first..first + self.size
    }
}

impl Workload for Shred {
    fn request(&self, number: u64, into: &mut Vec<u8>) {
        self.requests.set(self.requests.get() + 1);
        let now = clock::since_epoch().as_millis() as u64;
        let mut items = self.conversations(number).map(|it| item(it, now));
        match items.next() {
            Some(alone) if self.size == 1 => write(&self.head, &alone, into),
            first => write(&self.head, &batch(first.into_iter().chain(items)), into),
        }
    }

    fn status(&self) -> u16 {
        200
    }

    fn operations(&self) -> u64 {
        self.size
    }

    fn glance(&self, body: &[u8]) -> Result<(), BenchError> {
        let text = std::str::from_utf8(body).unwrap_or_default();
        let done = text.matches(DESTROYED).count() as u64;
        if done == self.size {
            return Ok(());
        }
        Err(BenchError::WrongAnswer(format!(
            "{done} of {} were shredded",
            self.size
        )))
    }

    fn check(&self, number: u64, body: &[u8]) -> Result<(), BenchError> {
        let answer = parse(body)?;
        let items = match answer["items"].as_array() {
            Some(items) => items.as_slice(),
            None => std::slice::from_ref(&answer),
        };
        if items.len() as u64 != self.size {
            return Err(BenchError::WrongAnswer(format!("{} items", items.len())));
        }
        let mut answered = items.iter().zip(self.conversations(number));
        answered.try_for_each(|(item, conversation)| shredded(item, conversation))
    }
}

fn item(conversation: u64, now: u64) -> String {
    let name = name(conversation);
    let id = id(conversation, now);
    format!(r#"{{"conversation":"{name}","id":"{id}"}}"#)
}

/// UUID version 7 (RFC 9562), with the conversation where others have random bits: it is shredded
/// once in a run, and so the answer can be checked without the request.
fn id(conversation: u64, now: u64) -> String {
    let (high, low) = (now >> 16 & 0xffff_ffff, now & 0xffff);
    format!("{high:08x}-{low:04x}-7000-8000-{conversation:012x}")
}

fn shredded(item: &Value, conversation: u64) -> Result<(), BenchError> {
    let text = |pointer| {
        item.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let id = text("/id");
    let right = id.ends_with(&format!("-8000-{conversation:012x}"))
        && text("/state") == "destroyed"
        && text("/receipt/item/id") == id
        && text("/receipt/signature/value").len() == SIGNATURE_LENGTH
        && text("/opening/conversation") == name(conversation);
    if right {
        return Ok(());
    }
    Err(BenchError::WrongAnswer(format!(
        "no receipt of the shred asked for: {item}"
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workload(size: u64) -> Shred {
        Shred::new(SocketAddr::from(([127, 0, 0, 1], 1)), size, 40)
    }

    fn answer(conversation: u64) -> Value {
        let id = id(conversation, 0x0190_f2a4_7c1e);
        json!({
            "id": id, "state": "destroyed",
            "receipt": {"item": {"id": id}, "signature": {"value": "s".repeat(88)}},
            "opening": {"conversation": name(conversation)},
        })
    }

    fn body_of(workload: &Shred, number: u64) -> Value {
        let mut request = Vec::new();
        workload.request(number, &mut request);
        let text = String::from_utf8(request).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /v1/keyspaces/bench-shreds/shreds HTTP/1.1\r\n"));
        serde_json::from_str(body).unwrap()
    }

    #[test]
    fn ids_are_ordered_by_time() {
        let early = id(7, 0x0190_f2a4_7c1e);
        assert_eq!(early, "0190f2a4-7c1e-7000-8000-000000000007");
        assert!(id(1, 0x0190_f2a4_7c1f) > early);
    }

    #[test]
    fn every_request_shreds_others() {
        let workload = workload(2);
        let body = body_of(&workload, 3);
        assert_eq!(body["items"][0]["conversation"], "room-0000000046");
        assert_eq!(body["items"][1]["conversation"], "room-0000000047");
        assert_eq!(workload.shreds(), 2);
    }

    #[test]
    fn one_alone_is_no_list() {
        let body = body_of(&workload(1), 0);
        assert_eq!(body["conversation"], "room-0000000040");
    }

    #[test]
    fn only_receipts_of_what_was_asked_for_are_right() {
        let right = json!({"items": [answer(40), answer(41)]}).to_string();
        let two = workload(2);
        assert!(two.glance(right.as_bytes()).is_ok());
        assert!(two.check(0, right.as_bytes()).is_ok());
        assert!(two.check(1, right.as_bytes()).is_err(), "others'");
        assert!(workload(1).glance(right.as_bytes()).is_err(), "too many");
        let alone = answer(40).to_string();
        assert!(workload(1).check(0, alone.as_bytes()).is_ok());
        for field in [
            "/id",
            "/state",
            "/receipt/signature/value",
            "/opening/conversation",
        ] {
            let mut wrong = answer(40);
            *wrong.pointer_mut(field).unwrap() = json!("");
            assert!(shredded(&wrong, 40).is_err(), "{field}");
        }
    }
}
