//! Approvals: actions that wait for a second operator. An approval is stored with everything that is needed
//! to do its action, and the transaction that approves it does the action. It holds no conversation id.

mod digest;
mod window;

use std::fmt;
use std::str::FromStr;

pub use digest::DigestKey;
pub use window::{ShredCount, ShredLimits, ShredSums, ShredWindow, sum_by_window};

use crate::erasure::Erasure;
use crate::identity::KeyspaceId;
use crate::keyspace::{KeyVersion, KeyspaceName, Policy};
use crate::receipt::{ErasureId, InvalidErasureId};
use crate::time::Timestamp;

/// The id of an approval, a UUID. Ids ascend in the order in which the approvals were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApprovalId(ErasureId);

impl ApprovalId {
    /// The smallest id: lists begin after it.
    pub const FIRST: Self = Self::from_bytes([0; 16]);

    /// From its 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(ErasureId::from_bytes(bytes))
    }

    /// See [`ErasureId::ordered`].
    #[must_use]
    pub fn ordered(random: [u8; 16], now: Timestamp) -> Self {
        Self(ErasureId::ordered(random, now))
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id as audit records list it, beside ids of erasures.
    #[must_use]
    pub const fn as_erasure(&self) -> ErasureId {
        self.0
    }
}

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ApprovalId {
    type Err = InvalidErasureId;

    fn from_str(text: &str) -> Result<Self, InvalidErasureId> {
        text.parse().map(Self)
    }
}

/// A person or a program: its name, and the key that proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// SPIFFE id.
    pub client: Box<str>,
    /// Identifies the key pair of its certificate, independent of the encoding of the public key.
    pub key: [u8; 32],
}

impl Principal {
    /// Whether name and key are both different. A renewed certificate is not another principal, and a
    /// second name for the same key is not either.
    #[must_use]
    pub fn is_another_than(&self, other: &Self) -> bool {
        self.client != other.client && self.key != other.key
    }
}

/// What an approval is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Shreds of conversations.
    Shred {
        /// The number of conversations.
        conversations: u32,
        /// Whether the call was for one shred and not a batch: the answer has the same form.
        single: bool,
    },
    /// The erase of a keyspace with all its versions.
    EraseKeyspace,
    /// The drop of an old key version that can still be read.
    DropVersion(KeyVersion),
    /// A new minimum version: older versions are refused, and the others are not.
    SetMinimum(KeyVersion),
    /// Settings of a keyspace under which keys or their leases live longer.
    SetPolicy {
        /// The settings when it was asked for. It is outdated if the keyspace has other settings.
        from: Policy,
        /// The new settings.
        to: Policy,
    },
    /// The confirmation that the wall clock is right although it jumped ahead.
    ConfirmClock,
    /// The move to the other HSM of the configuration.
    MoveHsm,
}

/// The keyspace that an approval is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Its id. A later keyspace of the same name has another id.
    pub id: KeyspaceId,
    /// Its name.
    pub name: KeyspaceName,
}

/// Why the action of an approval cannot be done any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Void {
    /// The erase of its keyspace is accepted.
    KeyspaceGone,
    /// The client that asked has no grant for it any more.
    AskerGone,
    /// What it is for has changed, or is done already.
    Outdated,
}

/// How an approval ended without being approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// It was not approved in time.
    Expired,
    /// Its action cannot be done any more.
    Void(Void),
    /// The client that asked, or an operator, withdrew it.
    Withdrawn,
}

/// The state of an approval. It changes once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApprovalState {
    /// It waits for a second operator.
    Waiting,
    /// It is approved, and the same transaction has done its action.
    Approved,
    /// It has ended, and nothing was done.
    Ended(End),
}

/// Who approved or withdrew an approval, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The client that decided.
    pub by: Principal,
    /// The time of the decision.
    pub at: Timestamp,
}

/// The decision of a second operator to approve one approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalDecision {
    /// The approval.
    pub id: ApprovalId,
    /// The operator and the time.
    pub decision: Decision,
}

/// A kind of clients whose shreds count together. No pool uses the room of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pool {
    /// Message servers.
    MessageServers,
    /// Operators.
    Operators,
}

/// A client that shreds in a keyspace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asker {
    /// The pool of the client.
    pub pool: Pool,
    /// SPIFFE id.
    pub client: Box<str>,
    /// The keyspace.
    pub keyspace: KeyspaceId,
}

/// An action that waits for a second operator, or waited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Its id.
    pub id: ApprovalId,
    /// What it is for.
    pub action: Action,
    /// The keyspace; none if the action is on the whole deployment.
    pub scope: Option<Scope>,
    /// The client that asked for it.
    pub asked_by: Principal,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// The reason that the client gave.
    pub reason: Option<Box<str>>,
    /// The digest of the conversations; none if there are none. The store does not hold its key.
    pub digest: Option<[u8; 32]>,
    /// Its state.
    pub state: ApprovalState,
    /// Who approved or withdrew it; none in other states.
    pub decision: Option<Decision>,
}

impl Approval {
    /// Its id and then the ids of its erasures, as audit records list them.
    #[must_use]
    pub fn with_erasures(&self, erasures: &[Erasure]) -> Vec<ErasureId> {
        let own = std::iter::once(self.id.as_erasure());
        own.chain(erasures.iter().map(|it| it.id)).collect()
    }

    /// The name of its keyspace; none if the action is on the whole deployment.
    #[must_use]
    pub fn keyspace_name(&self) -> Option<&KeyspaceName> {
        self.scope.as_ref().map(|scope| &scope.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_person_has_another_name_and_another_key() {
        let principal = |client: &str, key| Principal {
            client: client.into(),
            key: [key; 32],
        };
        let first = principal("spiffe://a/one", 1);
        assert!(principal("spiffe://a/two", 2).is_another_than(&first));
        assert!(!principal("spiffe://a/one", 2).is_another_than(&first));
        assert!(!principal("spiffe://a/two", 1).is_another_than(&first));
        assert!(!first.is_another_than(&first));
    }
}
