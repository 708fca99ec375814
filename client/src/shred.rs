//! Requests to shred, and their results.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::names::{Conversation, InvalidName};

/// The id of a request to shred or to erase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ShredId(Uuid);

impl ShredId {
    /// A new id: the time of this machine in milliseconds, then 74 random bits (UUID version 7). Such
    /// ids are beside each other in the service's index, which stays compact. Random ids would each
    /// touch another page.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for ShredId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ShredId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::parse_str(text).map(Self)
    }
}

impl TryFrom<String> for ShredId {
    type Error = uuid::Error;

    fn try_from(text: String) -> Result<Self, uuid::Error> {
        text.parse()
    }
}

impl From<ShredId> for String {
    fn from(id: ShredId) -> Self {
        id.to_string()
    }
}

/// A request to shred a conversation. It has its id from the start: write it down before sending. If it
/// is sent again, after a crash or a lost answer, it returns the first result and does not destroy what
/// was written in between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ShredBody", into = "ShredBody")]
pub struct ShredRequest {
    id: ShredId,
    conversation: Conversation,
    reason: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
struct ShredBody {
    id: ShredId,
    conversation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl ShredRequest {
    /// Draws a new id.
    #[must_use]
    pub fn new(conversation: Conversation) -> Self {
        Self::with_id(ShredId::random(), conversation)
    }

    /// A request with an id that was written down earlier.
    #[must_use]
    pub const fn with_id(id: ShredId, conversation: Conversation) -> Self {
        Self {
            id,
            conversation,
            reason: None,
        }
    }

    /// Adds the reason, in at most 256 characters, for the service's audit record and the second
    /// operator. All requests of a batch must have the same reason.
    #[must_use]
    pub fn because(mut self, reason: Option<&str>) -> Self {
        self.reason = reason.map(str::to_owned);
        self
    }

    /// The id of the shred.
    #[must_use]
    pub const fn id(&self) -> ShredId {
        self.id
    }

    /// The conversation that is shredded.
    #[must_use]
    pub const fn conversation(&self) -> &Conversation {
        &self.conversation
    }
}

impl TryFrom<ShredBody> for ShredRequest {
    type Error = InvalidName;

    fn try_from(body: ShredBody) -> Result<Self, InvalidName> {
        let request = Self::with_id(body.id, body.conversation.parse()?);
        Ok(request.because(body.reason.as_deref()))
    }
}

impl From<ShredRequest> for ShredBody {
    fn from(request: ShredRequest) -> Self {
        Self {
            id: request.id,
            conversation: request.conversation.as_str().to_owned(),
            reason: request.reason,
        }
    }
}

/// The state of a shred.
#[derive(Debug, Clone, PartialEq)]
pub enum Shred {
    /// It is accepted: it cannot be taken back, and every key of the conversation is refused from now
    /// on. The keys are not destroyed everywhere yet.
    Accepted {
        /// The id of the shred.
        id: ShredId,
        /// When the shred was accepted. From then on the keys are refused.
        accepted_at: Option<Timestamp>,
        /// See [`Shredded::opening`]. Keep it, because later answers may not have it.
        opening: Value,
    },
    /// The keys are destroyed.
    Destroyed(Box<Shredded>),
}

impl Shred {
    /// The id of the shred.
    #[must_use]
    pub const fn id(&self) -> ShredId {
        match self {
            Self::Accepted { id, .. } => *id,
            Self::Destroyed(shredded) => shredded.id,
        }
    }

    /// Adds the opening of an earlier answer if this one has none: the answer to a call with the id
    /// alone has no opening.
    #[must_use]
    pub fn or_opening_of(mut self, earlier: Self) -> Self {
        let mine = match &mut self {
            Self::Accepted { opening, .. } => opening,
            Self::Destroyed(shredded) => &mut shredded.opening,
        };
        if mine.is_null() {
            *mine = match earlier {
                Self::Accepted { opening, .. } => opening,
                Self::Destroyed(shredded) => shredded.opening,
            };
        }
        self
    }
}

/// A finished shred, or a finished erasure of a keyspace or of a key version.
#[derive(Debug, Clone, PartialEq)]
pub struct Shredded {
    /// The id of the shred or the erasure.
    pub id: ShredId,
    /// When the shred was accepted. From then on the keys are refused.
    pub accepted_at: Timestamp,
    /// When the keys were destroyed.
    pub destroyed_at: Timestamp,
    /// When the last lease of a plaintext key has ended.
    pub leases_end_at: Timestamp,
    /// The signed receipt, as the service sent it. Verify it with `lethe receipt verify`.
    pub receipt: Value,
    /// Shows which conversation the receipt is about. Keep it, because nobody else does. Null if the
    /// receipt is about none, or if it was asked for by the id alone.
    pub opening: Value,
}
