//! Keyspaces and their versions.

use async_trait::async_trait;
use lethe_core::ports::{KeyspaceRow, KeyspaceStore, StoreError};
use lethe_store_sql::decode;
use lethe_store_sql::keyspaces::KEYSPACES;

use crate::open::SqliteStore;

#[async_trait]
impl KeyspaceStore for SqliteStore {
    async fn keyspaces(&self) -> Result<Vec<KeyspaceRow>, StoreError> {
        decode::keyspaces(&self.rows("read keyspaces", KEYSPACES).await?)
    }
}
