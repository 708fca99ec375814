use async_trait::async_trait;

use super::StoreError;
use crate::identity::KeyspaceId;
use crate::keyspace::KeyVersion;
use crate::time::Timestamp;

/// How often, and when last, keys of a version left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uses {
    /// Data keys issued.
    pub issued: u64,
    /// The last issue.
    pub last_issued: Option<Timestamp>,
    /// Data keys unwrapped.
    pub unwrapped: u64,
    /// The last unwrap.
    pub last_unwrapped: Option<Timestamp>,
}

impl Uses {
    /// None at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            issued: self.issued.saturating_add(other.issued),
            last_issued: self.last_issued.max(other.last_issued),
            unwrapped: self.unwrapped.saturating_add(other.unwrapped),
            last_unwrapped: self.last_unwrapped.max(other.last_unwrapped),
        }
    }
}

/// What one client did with the keys of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// Of which keyspace.
    pub keyspace: KeyspaceId,
    /// The version.
    pub version: KeyVersion,
    /// The client's SPIFFE id; empty for those beyond the number that is told apart.
    pub client: Box<str>,
    /// How often and when last.
    pub uses: Uses,
}

/// Who used which key version when, for whoever judges whether it can be dropped. Nothing is
/// destroyed or refused because of it.
#[async_trait]
pub trait KeyUseStore: Send + Sync {
    /// All of it.
    ///
    /// # Errors
    /// Of the store.
    async fn key_uses(&self) -> Result<Vec<KeyUse>, StoreError>;

    /// Adds to what is there; versions that are gone are passed over.
    ///
    /// # Errors
    /// Of the store.
    async fn add_key_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError>;
}
