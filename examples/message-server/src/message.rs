//! A message and its place.

use jiff::Timestamp;
use lethe_client::{Conversation, Envelope, MessageId};
use serde::{Deserialize, Serialize};

/// A room; the conversation at Lethe has the same id.
pub type Room = Conversation;

/// Where a message stands in the order of arrival, over all rooms: 1 and up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub i64);

/// What is sealed: who said what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Who.
    pub sender: String,
    /// What.
    pub text: String,
}

/// A message on its way into the store.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Its room.
    pub room: Room,
    /// Unique in its room.
    pub id: MessageId,
    /// As the sender says.
    pub sent_at: Timestamp,
    /// Its content, sealed.
    pub envelope: Envelope,
}

/// A message as it is kept.
#[derive(Debug, Clone)]
pub struct StoredMessage {
    /// Its place.
    pub position: Position,
    /// Unique in its room.
    pub id: MessageId,
    /// As the sender said.
    pub sent_at: Timestamp,
    /// Its content, sealed.
    pub envelope: Envelope,
}

/// What is left of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It opens.
    Open(Content),
    /// Its retention has ended.
    Expired,
    /// Its room was shredded.
    Shredded,
    /// The bytes do not open although the key may live: altered, or of another place.
    Damaged,
}
