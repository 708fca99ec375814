//! What the command line prints about a shred.

use lethe_client::{Conversation, Problem, Shred, ShredId, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

/// A shred as it is printed: its conversation, and the fields of the API's answer, so that
/// `lethe receipt verify` can read it.
#[derive(Serialize)]
pub(in crate::cli) struct ShredReport<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<&'a str>,
    id: ShredId,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destroyed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leases_end_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opening: Option<&'a Value>,
}

impl<'a> ShredReport<'a> {
    pub(in crate::cli) fn new(shred: &'a Shred) -> Self {
        let bare = Self {
            conversation: None,
            id: shred.id(),
            state: "accepted",
            accepted_at: None,
            destroyed_at: None,
            leases_end_at: None,
            receipt: None,
            opening: None,
        };
        match shred {
            Shred::Accepted {
                accepted_at,
                opening,
                ..
            } => Self {
                accepted_at: accepted_at.map(time),
                opening: Some(opening).filter(|opening| !opening.is_null()),
                ..bare
            },
            Shred::Destroyed(done) => Self {
                state: "destroyed",
                accepted_at: Some(time(done.accepted_at)),
                destroyed_at: Some(time(done.destroyed_at)),
                leases_end_at: Some(time(done.leases_end_at)),
                receipt: Some(&done.receipt),
                opening: Some(&done.opening).filter(|opening| !opening.is_null()),
                ..bare
            },
        }
    }

    pub(super) fn with(mut self, conversation: &'a Conversation) -> Self {
        self.conversation = Some(conversation.as_str());
        self
    }

    /// One line of text. `what` is last because it may have blanks.
    pub(in crate::cli) fn line(&self, what: &str) -> String {
        let time = self.destroyed_at.as_ref().or(self.accepted_at.as_ref());
        format!(
            "{:<9}  {:<24}  {}  {what}",
            self.state,
            time.map_or("-", String::as_str),
            self.id
        )
    }
}

/// A shred that was refused, as JSON.
pub(super) fn refused(conversation: &Conversation, id: ShredId, problem: &Problem) -> Value {
    json!({ "conversation": conversation.as_str(), "id": id,
        "error": { "code": problem.code.as_str(), "detail": problem.detail } })
}

/// A line that cannot be read, as JSON.
pub(super) fn unreadable(line: usize, why: &str) -> Value {
    json!({ "line": line, "error": { "code": "invalid_request", "detail": why } })
}

/// The time in the format of the API.
fn time(time: Timestamp) -> String {
    format!("{time:.3}")
}
