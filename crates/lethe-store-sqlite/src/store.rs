//! The port: reads on the read pool, each write one named transaction on the only writer.

use async_trait::async_trait;
use lethe_core::claim::StoreLocation;
use lethe_core::clock::Mark;
use lethe_core::deployment_key::DeploymentKey;
use lethe_core::erasure::{AcceptedErasure, Erasure, ErasureNumber};
use lethe_core::identity::{DeploymentId, HsmKeyId, KeyspaceId};
use lethe_core::keyspace::KeyspaceName;
use lethe_core::ports::{
    BatchCommit, BatchRow, BucketRow, ExpiryRow, HsmMove, KeyspaceRow, MetaRow, Seat,
    SignedDestruction, Store, StoreError,
};
use lethe_core::receipt::ErasureId;
use lethe_core::succession::PublishedKey;
use lethe_core::time::{Expiry, Timestamp};
use lethe_core::tree::{Prefix, Row, TailId, TreeId};
use sqlx::sqlite::SqliteRow;

use crate::errors::during;
use crate::open::SqliteStore;
use crate::{authentic, batch, clock, decode, erasures, hsm_moves, statements, trees};

impl SqliteStore {
    /// One statement, so one snapshot.
    pub(crate) async fn rows(
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
        let row = self.rows(name, clock::DEPLOYMENT).await?.pop();
        let row = row.ok_or_else(|| StoreError::Corrupt("deployment: no row".into()))?;
        self.authentic.check(&authentic::DEPLOYMENT, &row)?;
        Ok(row)
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn deployment(&self) -> Result<Option<DeploymentId>, StoreError> {
        decode::deployment(&self.deployment_row("read deployment").await?)
    }

    async fn set_deployment(&self, id: DeploymentId) -> Result<(), StoreError> {
        let mut write = self.write("set deployment").await?;
        let done = statements::set_deployment(&mut write.inner, id).await;
        write.finish(done).await
    }

    async fn authenticate(&self, key: &DeploymentKey) -> Result<(), StoreError> {
        self.authentic.begin(key.clone());
        let mut reader = self.reader.acquire().await.map_err(during("check rows"))?;
        self.authentic.check_used(&mut reader).await
    }

    fn altered(&self) -> Option<&str> {
        self.authentic.altered()
    }

    fn location(&self) -> &StoreLocation {
        &self.location
    }

    async fn seat(&self) -> Result<Option<Seat>, StoreError> {
        let statement = "SELECT store_id, nonce, next FROM seat";
        let rows = self.rows("read the seat", statement).await?;
        rows.first().map(decode::seat).transpose()
    }

    async fn set_seat(&self, seat: &Seat) -> Result<(), StoreError> {
        let mut write = self.write("set the seat").await?;
        let done = statements::set_seat(&mut write.inner, seat).await;
        write.finish(done).await
    }

    async fn keyspaces(&self) -> Result<Vec<KeyspaceRow>, StoreError> {
        let statement =
            "SELECT k.id, k.name, k.retention_s, k.shorter_retentions_s, k.granularity_s,
                                k.rotation_ms, k.cache_ttl_ms, k.leases_until_ms, k.expiries_until_ms, k.minimum_version,
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
        let mut write = self.write("commit batch").await?;
        let done = batch::commit_batch(&mut write.inner, &self.authentic, batch).await;
        let done = write.finish(done).await;
        if let (Ok(()), Some(key)) = (&done, &batch.begins) {
            self.authentic.begin(key.clone());
        }
        self.checkpoints.written(batch);
        done
    }

    async fn barrier(&self) -> Result<(), StoreError> {
        self.files.flush().await
    }

    async fn tree_rows(
        &self,
        tree: TreeId,
        rows: &[(Prefix, Row)],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        trees::rows(&self.reader, tree, rows).await
    }

    async fn next_tail(&self, tree: TreeId) -> Result<TailId, StoreError> {
        trees::next_tail(&self.reader, tree).await
    }

    async fn sweep_dropped_trees(&self) -> Result<bool, StoreError> {
        let mut write = self.write("sweep dropped trees").await?;
        let done = trees::sweep(&mut write.inner).await;
        write.finish(done).await
    }

    async fn accept(&self, erasures: &[Erasure]) -> Result<ErasureNumber, StoreError> {
        let mut write = self.write("accept requests").await?;
        let done = erasures::accept(&mut write.inner, &self.authentic, erasures).await;
        write.finish(done).await
    }

    async fn erasures_by_id(&self, ids: &[ErasureId]) -> Result<Vec<AcceptedErasure>, StoreError> {
        erasures::by_id(&self.reader, &self.authentic, ids).await
    }

    async fn erasures(
        &self,
        first: ErasureNumber,
        last: ErasureNumber,
    ) -> Result<Vec<AcceptedErasure>, StoreError> {
        erasures::range(&self.reader, &self.authentic, first, last).await
    }

    async fn erase_of(
        &self,
        name: &KeyspaceName,
        id: KeyspaceId,
    ) -> Result<Option<ErasureId>, StoreError> {
        erasures::erase_of(&self.reader, &self.authentic, name, id).await
    }

    async fn open_erasures(
        &self,
        fulfilled: ErasureNumber,
    ) -> Result<Vec<AcceptedErasure>, StoreError> {
        erasures::open(&self.reader, &self.authentic, fulfilled).await
    }

    async fn fulfilled_up_to(&self) -> Result<ErasureNumber, StoreError> {
        erasures::fulfilled_up_to(&self.reader).await
    }

    async fn batch_of(&self, number: ErasureNumber) -> Result<Option<BatchRow>, StoreError> {
        erasures::batch_of(&self.reader, number).await
    }

    async fn unsigned_batches(&self) -> Result<Vec<BatchRow>, StoreError> {
        erasures::unsigned_batches(&self.reader).await
    }

    async fn sign_batch(
        &self,
        sequence: u64,
        signed: &SignedDestruction,
    ) -> Result<(), StoreError> {
        let mut write = self.write("sign a batch").await?;
        let done = erasures::sign_batch(&mut write.inner, sequence, signed).await;
        write.finish(done).await
    }

    async fn forget_receipts(&self, before: Timestamp) -> Result<bool, StoreError> {
        let mut write = self.write("forget receipts").await?;
        let done = erasures::forget(&mut write.inner, before).await;
        write.finish(done).await
    }

    async fn buckets(&self) -> Result<Vec<BucketRow>, StoreError> {
        let statement =
            "SELECT expiry_s, hsm_key_id, iv, ciphertext, mac FROM bucket ORDER BY expiry_s";
        let bucket = |row: &SqliteRow| {
            self.authentic.check(&authentic::BUCKET, row)?;
            decode::bucket(row)
        };
        self.rows("read buckets", statement)
            .await?
            .iter()
            .map(bucket)
            .collect()
    }

    async fn create_buckets(&self, buckets: &[BucketRow]) -> Result<(), StoreError> {
        let mut write = self.write("create buckets").await?;
        let done = statements::create_buckets(&mut write.inner, &self.authentic, buckets).await;
        write.finish(done).await
    }

    async fn replace_buckets(&self, buckets: &[(HsmKeyId, BucketRow)]) -> Result<(), StoreError> {
        let mut write = self.write("replace buckets").await?;
        let done = hsm_moves::replace_buckets(&mut write.inner, &self.authentic, buckets).await;
        write.finish(done).await
    }

    async fn finish_bucket(&self, expired: &ExpiryRow) -> Result<(), StoreError> {
        let mut write = self.write("finish bucket").await?;
        let done = erasures::finish_bucket(&mut write.inner, expired).await;
        write.finish(done).await
    }

    async fn expiries(&self, after: Expiry, limit: u32) -> Result<Vec<ExpiryRow>, StoreError> {
        erasures::expiries(&self.reader, after, limit).await
    }

    async fn signing_keys(&self) -> Result<Vec<PublishedKey>, StoreError> {
        let rows = self.rows("read signing keys", hsm_moves::SIGNING_KEYS);
        let signing_key = |row: &SqliteRow| {
            self.authentic.check(&authentic::SIGNING_KEY, row)?;
            decode::signing_key(row)
        };
        rows.await?.iter().map(signing_key).collect()
    }

    async fn hsm_move(&self) -> Result<Option<HsmMove>, StoreError> {
        let rows = self.rows("read HSM move", "SELECT row_id, emptied, mac FROM hsm_move");
        let hsm_move = |row: &SqliteRow| {
            self.authentic.check(&authentic::HSM_MOVE, row)?;
            decode::hsm_move(row)
        };
        rows.await?.first().map(hsm_move).transpose()
    }

    async fn begin_hsm_move(&self, keys: &[PublishedKey]) -> Result<(), StoreError> {
        let mut write = self.write("begin HSM move").await?;
        let done = hsm_moves::begin(&mut write.inner, &self.authentic, keys).await;
        write.finish(done).await
    }

    async fn hsm_is_emptied(&self) -> Result<(), StoreError> {
        let mut write = self.write("HSM is emptied").await?;
        let done = hsm_moves::emptied(&mut write.inner, &self.authentic).await;
        write.finish(done).await
    }

    async fn finish_hsm_move(&self) -> Result<(), StoreError> {
        let mut write = self.write("finish HSM move").await?;
        let done = hsm_moves::finish(&mut write.inner).await;
        write.finish(done).await
    }

    async fn clock_mark(&self) -> Result<Mark, StoreError> {
        decode::clock_mark(&self.deployment_row("read the clock's mark").await?)
    }

    async fn raise_clock_mark(&self, mark: &Mark) -> Result<(), StoreError> {
        let mut write = self.write("raise the clock's mark").await?;
        let done = clock::raise(&mut write.inner, &self.authentic, mark).await;
        write.finish(done).await
    }

    async fn confirm_clock(&self, mark: &Mark) -> Result<(), StoreError> {
        let mut write = self.write("confirm the clock").await?;
        let done = clock::confirm(&mut write.inner, &self.authentic, mark).await;
        write.finish(done).await
    }
}
