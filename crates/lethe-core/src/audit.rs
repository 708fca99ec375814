//! One audit record: who did what, when, and to which pseudonym. It has no content, no key and no
//! conversation id that can be read (`docs/design.md#p4`). `docs/FORMATS.md` lists the fields.

use std::io::Write;

use crate::grid::Generation;
use crate::keyspace::{KeyVersion, KeyspaceName};
use crate::receipt::ErasureId;
use crate::time::{Expiry, Timestamp};
use crate::tree::Pseudonym;

/// What happened. It borrows everything, because it is only written down.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// When the operation was run.
    pub time: Timestamp,
    /// The `x-request-id` of the answer.
    pub request: &'a str,
    /// SPIFFE id of the client.
    pub client: &'a str,
    /// The operation, such as `issue` or `unwrap`.
    pub operation: &'static str,
    /// The keyspace in the path.
    pub keyspace: Option<&'a KeyspaceName>,
    /// `ok`, or the code of the error that the client gets.
    pub outcome: &'static str,
    /// The data keys in the answer.
    pub keys: &'a [KeyEvent],
    /// Number of items of a batch that were refused.
    pub refused: u32,
    /// Ids of erasures that were accepted by this call or an earlier one.
    pub requests: &'a [ErasureId],
    /// The reason that the client gave.
    pub reason: Option<&'a str>,
}

/// One data key that leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyEvent {
    /// The pseudonym of the conversation.
    pub pseudonym: Pseudonym,
    /// The key version of the data key.
    pub version: KeyVersion,
    /// The generation of the conversation in that version.
    pub generation: Generation,
    /// The bucket of the data key.
    pub expiry: Expiry,
}

/// One JSON object on one line, without the line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record(Vec<u8>);

impl Record {
    /// Writes the event down.
    #[must_use]
    pub fn new(event: &Event<'_>) -> Self {
        Self::from_event(event, None)
    }

    /// The record of an action that one client asked for and the event's client approved or withdrew.
    #[must_use]
    pub fn answering(event: &Event<'_>, asked_by: &str) -> Self {
        Self::from_event(event, Some(asked_by))
    }

    fn from_event(event: &Event<'_>, asked_by: Option<&str>) -> Self {
        let mut line = Vec::with_capacity(256 + event.keys.len() * 80);
        write_event(&mut line, event, asked_by);
        Self(line)
    }

    /// The line.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn write_event(line: &mut Vec<u8>, event: &Event<'_>, asked_by: Option<&str>) {
    line.extend_from_slice(br#"{"time_ms":"#);
    write_number(line, event.time.as_millis());
    write_field(line, "request", event.request);
    write_field(line, "client", event.client);
    if let Some(asked_by) = asked_by {
        write_field(line, "asked_by", asked_by);
    }
    write_field(line, "operation", event.operation);
    if let Some(keyspace) = event.keyspace {
        write_field(line, "keyspace", keyspace.as_str());
    }
    write_field(line, "outcome", event.outcome);
    line.extend_from_slice(br#","keys":["#);
    for (index, key) in event.keys.iter().enumerate() {
        line.extend_from_slice(if index == 0 { b"" } else { b"," });
        write_key(line, key);
    }
    line.push(b']');
    if event.refused > 0 {
        line.extend_from_slice(br#","refused":"#);
        write_number(line, event.refused.into());
    }
    write_requests(line, event.requests);
    if let Some(reason) = event.reason {
        write_field(line, "reason", reason);
    }
    line.push(b'}');
}

fn write_requests(line: &mut Vec<u8>, requests: &[ErasureId]) {
    for (index, id) in requests.iter().enumerate() {
        let before = if index == 0 {
            r#","requests":[""#
        } else {
            r#"",""#
        };
        // A UUID needs no escapes; writing into a Vec does not fail.
        let _ = write!(line, "{before}{id}");
    }
    if !requests.is_empty() {
        line.extend_from_slice(br#""]"#);
    }
}

fn write_key(line: &mut Vec<u8>, key: &KeyEvent) {
    // Base64url needs no escapes; writing into a Vec does not fail.
    let _ = write!(line, r#"["{}","#, key.pseudonym);
    write_number(line, key.version.number().into());
    line.push(b',');
    write_number(line, key.generation.number().into());
    line.push(b',');
    write_number(line, key.expiry.as_seconds());
    line.push(b']');
}

/// `name` needs no escapes.
fn write_field(line: &mut Vec<u8>, name: &str, value: &str) {
    line.extend_from_slice(b",\"");
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(b"\":");
    write_string(line, value);
}

fn write_number(line: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    line.extend_from_slice(&digits[first..]);
}

/// Writes a JSON string (RFC 8259 section 7). Runs of characters that need no escape are copied at
/// once.
fn write_string(line: &mut Vec<u8>, text: &str) {
    line.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(length) = rest.iter().position(|byte| needs_escape(*byte)) {
        line.extend_from_slice(&rest[..length]);
        write_escape(line, rest[length]);
        rest = &rest[length + 1..];
    }
    line.extend_from_slice(rest);
    line.push(b'"');
}

const fn needs_escape(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

fn write_escape(line: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    if byte >= b' ' {
        line.extend_from_slice(&[b'\\', byte]);
    } else {
        line.extend_from_slice(b"\\u00");
        line.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn event<'a>(request: &'a str, keys: &'a [KeyEvent]) -> Event<'a> {
        Event {
            time: Timestamp::from_millis(1_700_000_000_123),
            request,
            client: "spiffe://lethe.example/message-server",
            operation: "issue",
            keyspace: None,
            outcome: "ok",
            keys,
            refused: 0,
            requests: &[],
            reason: None,
        }
    }

    fn parsed(record: &Record) -> Value {
        serde_json::from_slice(record.as_bytes()).unwrap()
    }

    #[test]
    fn every_field_is_where_a_reader_looks_for_it() {
        let keyspace = "chat".parse().unwrap();
        let key = KeyEvent {
            pseudonym: Pseudonym::from_bytes([0xfb; 16]),
            version: KeyVersion::FIRST,
            generation: Generation::new(65_535),
            expiry: Expiry::from_seconds(u64::MAX),
        };
        let keys = [key, key];
        let record = Record::new(&Event {
            keyspace: Some(&keyspace),
            refused: 3,
            requests: &[ErasureId::from_bytes([0xab; 16]); 2],
            reason: Some("ticket \"7\""),
            ..event("r-1", &keys)
        });
        let name = key.pseudonym.to_string();
        let key = json!([name, 1, 65_535, u64::MAX]);
        let expected = json!({
            "time_ms": 1_700_000_000_123_u64,
            "request": "r-1",
            "client": "spiffe://lethe.example/message-server",
            "operation": "issue",
            "keyspace": "chat",
            "outcome": "ok",
            "keys": [key, key],
            "refused": 3,
            "requests": ["abababab-abab-abab-abab-abababababab", "abababab-abab-abab-abab-abababababab"],
            "reason": "ticket \"7\"",
        });
        assert_eq!(parsed(&record), expected);
    }

    #[test]
    fn what_does_not_apply_is_left_out() {
        let line = r#"{"time_ms":1700000000123,"request":"r","client":"spiffe://lethe.example/message-server","operation":"issue","outcome":"ok","keys":[]}"#;
        assert_eq!(Record::new(&event("r", &[])).as_bytes(), line.as_bytes());
    }

    #[test]
    fn who_asked_stands_beside_who_answers() {
        let record = Record::answering(&event("r", &[]), "spiffe://lethe.example/\"first\"");
        let parsed = parsed(&record);
        assert_eq!(parsed["asked_by"], "spiffe://lethe.example/\"first\"");
        assert_eq!(parsed["client"], "spiffe://lethe.example/message-server");
    }

    proptest! {
        #[test]
        fn any_text_comes_back_from_one_line(text in "\\PC*|[\0-\u{9f}\"\\\\]*") {
            let record = Record::new(&event(&text, &[]));
            prop_assert!(!record.as_bytes().contains(&b'\n'));
            prop_assert_eq!(&parsed(&record)["request"], &json!(text));
        }

        #[test]
        fn any_number_is_written_in_full(number: u64) {
            let mut line = Vec::new();
            write_number(&mut line, number);
            prop_assert_eq!(line, number.to_string().into_bytes());
        }
    }
}
