use async_trait::async_trait;

use super::StoreError;
use crate::identity::KeyspaceId;
use crate::keyspace::KeyVersion;
use crate::time::Timestamp;

/// How often keys of a version were issued and unwrapped, and when last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uses {
    /// Number of data keys issued.
    pub issued: u64,
    /// When a data key was issued last; none if none was.
    pub last_issued: Option<Timestamp>,
    /// Number of data keys unwrapped.
    pub unwrapped: u64,
    /// When a data key was unwrapped last; none if none was.
    pub last_unwrapped: Option<Timestamp>,
}

impl Uses {
    /// Whether there is no use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The sum of both.
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

/// How one client used one key version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// The keyspace.
    pub keyspace: KeyspaceId,
    /// The version.
    pub version: KeyVersion,
    /// The client's SPIFFE id; empty for all clients that have no count of their own.
    pub client: Box<str>,
    /// How often the client used the version, and when last.
    pub uses: Uses,
}

/// How each client used each key version. An operator sees from it whether a version can be dropped; nothing
/// is destroyed or refused because of it.
#[async_trait]
pub trait KeyUseStore: Send + Sync {
    /// All uses.
    ///
    /// # Errors
    /// Of the store.
    async fn key_uses(&self) -> Result<Vec<KeyUse>, StoreError>;

    /// Adds uses to those that are stored. Uses of dropped versions are left out.
    ///
    /// # Errors
    /// Of the store.
    async fn add_key_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError>;
}
