//! What waits for a second operator: it is written down whole, and done in the transaction that makes
//! it approved. It holds no conversation id, as an accepted erasure does not.

mod digest;

use std::fmt;
use std::str::FromStr;

pub use digest::DigestKey;

use crate::erasure::Erasure;
use crate::identity::KeyspaceId;
use crate::keyspace::{KeyVersion, KeyspaceName, Policy};
use crate::receipt::{ErasureId, InvalidErasureId};
use crate::time::Timestamp;

/// Names what waits; a UUID. Ascending in the order in which they were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApprovalId(ErasureId);

impl ApprovalId {
    /// Before all others.
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

    /// As it stands among erasures in an audit record.
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

/// A person or program, by its name and by the key that proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// SPIFFE id.
    pub client: Box<str>,
    /// Names the key pair of its certificate, however the public key is spelled there.
    pub key: [u8; 32],
}

impl Principal {
    /// Neither the same name nor the same key: a renewed certificate makes nobody a second person,
    /// nor does a second name for the same key.
    #[must_use]
    pub fn is_another_than(&self, other: &Self) -> bool {
        self.client != other.client && self.key != other.key
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Shreds of conversations.
    Shred {
        /// How many.
        conversations: u32,
        /// Asked for alone, and not in a batch: so it is answered.
        single: bool,
    },
    /// The erase of a keyspace with all its versions.
    EraseKeyspace,
    /// The drop of an old version, before its time.
    DropVersion(KeyVersion),
    /// Versions older than this one are refused from then on, and the others are not.
    SetMinimum(KeyVersion),
    /// Settings under which keys, or leases of them, live longer.
    SetPolicy {
        /// The settings when it was asked for: it is outdated where they are others by now.
        from: Policy,
        /// The settings asked for.
        to: Policy,
    },
    /// The wall clock is right, though it jumped ahead.
    ConfirmClock,
    /// The move to the other HSM of the configuration.
    MoveHsm,
}

/// The keyspace that an approval is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Its id, which a keyspace that bears its name later does not have.
    pub id: KeyspaceId,
    /// Its name.
    pub name: KeyspaceName,
}

/// Why it cannot be done any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Void {
    /// Its keyspace is erased, or being erased.
    KeyspaceGone,
    /// Who asked may not do it any more: the grant is withdrawn, or covers it no longer.
    AskerGone,
    /// What it was for has changed or is done.
    Outdated,
}

/// How an approval ended without what it was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// Nobody approved it in time.
    Expired,
    /// It cannot be done any more.
    Void(Void),
    /// Who asked, or an operator, withdrew it.
    Withdrawn,
}

/// How far it is. It changes once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApprovalState {
    /// For a second operator.
    Waiting,
    /// Approved, and done by the same transaction.
    Approved,
    /// Over, and nothing was done.
    Ended(End),
}

/// Who decided, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Who.
    pub by: Principal,
    /// When.
    pub at: Timestamp,
}

/// A second operator's decision for one approval, on its way into the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalDecision {
    /// For which approval.
    pub id: ApprovalId,
    /// Whose, and when.
    pub decision: Decision,
}

/// Whose shreds count together: one kind of client leaves the other its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pool {
    /// Message servers.
    MessageServers,
    /// Operators.
    Operators,
}

/// Who asks for shreds, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asker {
    /// With whom it counts.
    pub pool: Pool,
    /// SPIFFE id.
    pub client: Box<str>,
    /// The keyspace.
    pub keyspace: KeyspaceId,
}

/// Shreds that went through without a second operator, in one part of the window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShredCount {
    /// Whose, and where.
    pub asker: Asker,
    /// End of the part.
    pub end: Timestamp,
    /// How many conversations.
    pub conversations: u64,
}

/// One that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Its name.
    pub id: ApprovalId,
    /// What is asked for.
    pub action: Action,
    /// In which keyspace; none where it concerns the whole deployment.
    pub scope: Option<Scope>,
    /// Who asked.
    pub asked_by: Principal,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Until when it can be approved.
    pub expires_at: Timestamp,
    /// Why it was asked for, in the words of who asked.
    pub reason: Option<Box<str>>,
    /// Of the conversations, under a key that the store does not hold; none where none are named.
    pub digest: Option<[u8; 32]>,
    /// How far it is.
    pub state: ApprovalState,
    /// Who approved or withdrew it.
    pub decision: Option<Decision>,
}

impl Approval {
    /// Its id, then those of what it is for: how audit records name it.
    #[must_use]
    pub fn with_erasures(&self, erasures: &[Erasure]) -> Vec<ErasureId> {
        let own = std::iter::once(self.id.as_erasure());
        own.chain(erasures.iter().map(|it| it.id)).collect()
    }

    /// The keyspace's name, where it is about one.
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
