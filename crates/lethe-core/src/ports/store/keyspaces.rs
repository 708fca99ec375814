use async_trait::async_trait;

use super::StoreError;
use crate::identity::KeyspaceId;
use crate::keyspace::{KeyVersion, KeyspaceName, Policy};
use crate::time::Timestamp;

/// A key version as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// The version's number.
    pub version: KeyVersion,
    /// When the version became the newest.
    pub created_at: Timestamp,
}

/// A keyspace as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyspaceRow {
    /// The keyspace's id: random, drawn when the keyspace was made.
    pub id: KeyspaceId,
    /// The keyspace's name. No two keyspaces have the same.
    pub name: KeyspaceName,
    /// The policy for keys that are issued from now on.
    pub policy: Policy,
    /// When the last `cache_until` under earlier settings can have ended.
    pub leases_until: Timestamp,
    /// When the last key issued under earlier settings has expired.
    pub expiries_until: Timestamp,
    /// Keys of older versions are refused.
    pub minimum_version: KeyVersion,
    /// Live versions, oldest first, never empty.
    pub versions: Vec<VersionRow>,
}

/// What a batch changes in the tables of keyspaces and versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyspaceChange {
    /// A new keyspace with its first version.
    Create(KeyspaceRow),
    /// A new newest version.
    AddVersion(KeyspaceId, VersionRow),
    /// A version is dropped.
    DropVersion(KeyspaceId, KeyVersion),
    /// A keyspace is erased with all its versions.
    DropKeyspace(KeyspaceId),
    /// A keyspace gets other settings, or other times of its versions. It keeps its versions.
    Replace(KeyspaceRow),
}

/// Keyspaces and their live versions. Batches change them.
#[async_trait]
pub trait KeyspaceStore: Send + Sync {
    /// All keyspaces, by name.
    async fn keyspaces(&self) -> Result<Vec<KeyspaceRow>, StoreError>;
}
