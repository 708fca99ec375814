//! Keyspaces and their versions.

use async_trait::async_trait;
use lethe_core::ports::{KeyspaceRow, KeyspaceStore, StoreError};
use lethe_store_sql::decode;
use lethe_store_sql::keyspaces::KEYSPACES;

use crate::open::PostgresStore;
use crate::statements::rows;

#[async_trait]
impl KeyspaceStore for PostgresStore {
    async fn keyspaces(&self) -> Result<Vec<KeyspaceRow>, StoreError> {
        let name = "read keyspaces";
        let rows = self.calls.read(name, move |connection| {
            Box::pin(rows(connection, name, sqlx::query(KEYSPACES)))
        });
        decode::keyspaces(&rows.await?)
    }
}
