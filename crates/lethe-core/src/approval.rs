//! What waits for a second operator: a request to forget that is written down whole, and not yet
//! accepted. It holds no conversation id, as an accepted one does not.

use std::fmt;
use std::str::FromStr;

use crate::identity::KeyspaceId;
use crate::keyspace::{KeyVersion, KeyspaceName};
use crate::receipt::{InvalidRequestId, RequestId};
use crate::request::Request;
use crate::time::Timestamp;

/// Names what waits; a UUID. Ascending in the order in which they were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApprovalId(RequestId);

impl ApprovalId {
    /// Before all others.
    pub const FIRST: Self = Self::from_bytes([0; 16]);

    /// From its 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(RequestId::from_bytes(bytes))
    }

    /// See [`RequestId::ordered`].
    #[must_use]
    pub fn ordered(random: [u8; 16], now: Timestamp) -> Self {
        Self(RequestId::ordered(random, now))
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// As it stands among requests in an audit record.
    #[must_use]
    pub const fn as_request(&self) -> RequestId {
        self.0
    }
}

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ApprovalId {
    type Err = InvalidRequestId;

    fn from_str(text: &str) -> Result<Self, InvalidRequestId> {
        text.parse().map(Self)
    }
}

/// A person or program, by its name and by the key that proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voice {
    /// SPIFFE id.
    pub client: Box<str>,
    /// SHA-256 of the public key in its certificate.
    pub key: [u8; 32],
}

impl Voice {
    /// Neither the same name nor the same key: a renewed certificate makes nobody a second person,
    /// nor does a second name for the same key.
    #[must_use]
    pub fn is_another_than(&self, other: &Self) -> bool {
        self.client != other.client && self.key != other.key
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Conversations.
    Shred {
        /// How many.
        conversations: u32,
        /// Asked for alone, and not in a batch: so it is answered.
        alone: bool,
    },
    /// The keyspace with all its versions.
    EraseKeyspace,
    /// An old version, before its time.
    DropVersion(KeyVersion),
    /// Versions older than this one are refused from then on. It accepts no request.
    RaiseMinimum(KeyVersion),
}

/// How far it is. A transition that is not named here is refused by the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApprovalState {
    /// For the second word.
    Waiting,
    /// The second word is there and holds; not yet carried out.
    Given,
    /// Carried out.
    Done,
    /// Nobody gave the second word in time.
    Expired,
    /// It could not be done any more: when the second word came, or before.
    Void,
    /// Who asked, or an operator, took it back before the second word.
    Withdrawn,
}

/// Who gave the second word, or took back the first one, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecondWord {
    /// Who.
    pub by: Voice,
    /// When.
    pub at: Timestamp,
}

/// One that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Its name.
    pub id: ApprovalId,
    /// What.
    pub act: Act,
    /// Where.
    pub keyspace: KeyspaceId,
    /// The keyspace's name then.
    pub keyspace_name: KeyspaceName,
    /// Who asked.
    pub asked_by: Voice,
    /// When.
    pub asked_at: Timestamp,
    /// Until when the second word counts.
    pub expires_at: Timestamp,
    /// How far it is.
    pub state: ApprovalState,
    /// None while it waits, and when nobody said anything. Of one that was withdrawn, who did that.
    pub second: Option<SecondWord>,
}

impl Approval {
    /// Its id, then those of what it is for: how audit records name it.
    #[must_use]
    pub fn with_requests(&self, requests: &[Request]) -> Vec<RequestId> {
        let own = std::iter::once(self.id.as_request());
        own.chain(requests.iter().map(|it| it.id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_person_has_another_name_and_another_key() {
        let voice = |client: &str, key| Voice {
            client: client.into(),
            key: [key; 32],
        };
        let first = voice("spiffe://a/one", 1);
        assert!(voice("spiffe://a/two", 2).is_another_than(&first));
        assert!(!voice("spiffe://a/one", 2).is_another_than(&first));
        assert!(!voice("spiffe://a/two", 1).is_another_than(&first));
        assert!(!first.is_another_than(&first));
    }
}
