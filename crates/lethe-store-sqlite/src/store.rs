//! The port: reads on the read pool, each write one named transaction on the only writer.

use async_trait::async_trait;
use lethe_core::identity::{DeploymentId, HsmKeyId, KeyspaceId};
use lethe_core::keyspace::Policy;
use lethe_core::ports::{BatchCommit, BucketRow, KeyspaceRow, MetaRow, Store, StoreError};
use lethe_core::time::{Expiry, Timestamp};
use sqlx::sqlite::SqliteRow;

use crate::errors::during;
use crate::open::SqliteStore;
use crate::transaction::Write;
use crate::{batch, decode, statements};

impl SqliteStore {
    /// One statement, so one snapshot.
    async fn rows(
        &self,
        name: &'static str,
        statement: &'static str,
    ) -> Result<Vec<SqliteRow>, StoreError> {
        sqlx::query(statement)
            .fetch_all(&self.reader)
            .await
            .map_err(during(name))
    }

    async fn deployment_row(&self, name: &'static str) -> Result<SqliteRow, StoreError> {
        let row = self
            .rows(name, "SELECT id, clock_high_water_ms FROM deployment")
            .await?
            .pop();
        row.ok_or_else(|| StoreError::Corrupt("deployment: no row".into()))
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn deployment(&self) -> Result<Option<DeploymentId>, StoreError> {
        decode::deployment(&self.deployment_row("read deployment").await?)
    }

    async fn set_deployment(&self, id: DeploymentId) -> Result<(), StoreError> {
        let mut write = Write::begin(&self.writer, "set deployment").await?;
        let done = statements::set_deployment(&mut write.inner, id).await;
        write.finish(done).await
    }

    fn instance(&self) -> &str {
        &self.instance
    }

    async fn keyspaces(&self) -> Result<Vec<KeyspaceRow>, StoreError> {
        let statement =
            "SELECT k.id, k.name, k.retention_s, k.granularity_s, k.rotation_ms, k.cache_ttl_ms,
                                v.version, v.created_at_ms
                         FROM keyspace k LEFT JOIN key_version v ON v.keyspace_id = k.id
                         ORDER BY k.name, v.version";
        decode::keyspaces(&self.rows("read keyspaces", statement).await?)
    }

    async fn meta(&self) -> Result<Option<MetaRow>, StoreError> {
        let statement = "SELECT sequence, epoch, root_id, iv, ciphertext, directory FROM meta";
        let rows = self.rows("read meta", statement).await?;
        rows.first().map(decode::meta).transpose()
    }

    async fn commit_batch(&self, batch: &BatchCommit) -> Result<(), StoreError> {
        let mut write = Write::begin(&self.writer, "commit batch").await?;
        let done = batch::commit_batch(&mut write.inner, batch).await;
        write.finish(done).await
    }

    async fn set_policy(&self, id: KeyspaceId, policy: &Policy) -> Result<bool, StoreError> {
        let mut write = Write::begin(&self.writer, "set policy").await?;
        let done = statements::set_policy(&mut write.inner, id, policy).await;
        write.finish(done).await
    }

    async fn buckets(&self) -> Result<Vec<BucketRow>, StoreError> {
        let statement = "SELECT expiry_s, hsm_key_id, iv, ciphertext FROM bucket ORDER BY expiry_s";
        self.rows("read buckets", statement)
            .await?
            .iter()
            .map(decode::bucket)
            .collect()
    }

    async fn create_buckets(&self, buckets: &[BucketRow]) -> Result<(), StoreError> {
        let mut write = Write::begin(&self.writer, "create buckets").await?;
        let done = statements::create_buckets(&mut write.inner, buckets).await;
        write.finish(done).await
    }

    async fn delete_bucket(&self, expiry: Expiry, key: HsmKeyId) -> Result<bool, StoreError> {
        let mut write = Write::begin(&self.writer, "delete bucket").await?;
        let done = statements::delete_bucket(&mut write.inner, expiry, key).await;
        write.finish(done).await
    }

    async fn clock_high_water(&self) -> Result<Option<Timestamp>, StoreError> {
        decode::clock_high_water(&self.deployment_row("read clock high water").await?)
    }

    async fn raise_clock_high_water(&self, time: Timestamp) -> Result<(), StoreError> {
        let mut write = Write::begin(&self.writer, "raise clock high water").await?;
        let done = statements::raise_clock_high_water(&mut write.inner, time).await;
        write.finish(done).await
    }
}
