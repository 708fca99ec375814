//! The store of approvals, and of the windows of shreds.

use async_trait::async_trait;
use lethe_core::approval::{
    Approval, ApprovalDecision, ApprovalId, Decision, End, ShredCount, ShredLimits, ShredWindow,
};
use lethe_core::erasure::{Erasure, ErasureNumber};
use lethe_core::ports::{ApprovalStore, Capacity, Effect, Enqueued, StoreError};
use lethe_core::receipt::ErasureId;
use lethe_core::time::Timestamp;
use lethe_store_sql::authentic::Authenticity;
use lethe_store_sql::decode;
use lethe_store_sql::encode::{ApprovalColumns, ErasureColumns, StateColumns};
use lethe_store_sql::row::signed;
use sqlx::SqliteConnection;

use crate::chunks::{chunks, in_list, insert};
use crate::erasures::{self, erasure_columns, push_erasure};
use crate::errors::during;
use crate::open::SqliteStore;
use crate::statements::execute;
use crate::{clock, hsm_moves, shred_window};

/// The number of approvals that one transaction deletes.
const TOGETHER: i64 = 20;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, kind, keyspace_id, keyspace_name, conversations, alone, version, settings,
                    asked_by, asked_key, asked_at_ms, expires_at_ms, reason, digest, state,
                    void_reason, second_by, second_key, second_at_ms FROM approval ",
            $rest
        )
    };
}

#[async_trait]
impl ApprovalStore for SqliteStore {
    async fn ask_approval(
        &self,
        approval: &Approval,
        erasures: &[Erasure],
        capacity: Capacity,
    ) -> Result<Enqueued, StoreError> {
        let mut write = self.write("ask for an approval").await?;
        let done = ask(&mut write.inner, approval, erasures, capacity).await;
        write.finish(done).await
    }

    async fn approval(&self, id: ApprovalId) -> Result<Option<Approval>, StoreError> {
        let row = sqlx::query(select!("WHERE id = ?"))
            .bind(id.as_bytes().to_vec())
            .fetch_optional(&self.reader)
            .await
            .map_err(during("find an approval"))?;
        row.as_ref().map(decode::approval).transpose()
    }

    async fn waiting_approvals(
        &self,
        after: ApprovalId,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError> {
        let rows = sqlx::query(select!("WHERE state = 0 AND id > ? ORDER BY id LIMIT ?"))
            .bind(after.as_bytes().to_vec())
            .bind(limit)
            .fetch_all(&self.reader)
            .await
            .map_err(during("read approvals"))?;
        rows.iter().map(decode::approval).collect()
    }

    async fn approval_erasures(&self, id: ApprovalId) -> Result<Vec<Erasure>, StoreError> {
        // An erasure gets its times when it is accepted.
        let rows = sqlx::query(
            "SELECT 0 AS number, id, kind, keyspace_id, 0 AS accepted_at_ms,
                    0 AS leases_end_at_ms, tag, commitment, leaves, keyspace_name, version
             FROM waiting_request WHERE approval_id = ? ORDER BY place",
        )
        .bind(id.as_bytes().to_vec())
        .fetch_all(&self.reader)
        .await
        .map_err(during("read waiting requests"))?;
        let erasure = |row| decode::erasure(row).map(|accepted| accepted.erasure);
        rows.iter().map(erasure).collect()
    }

    async fn waiting_erasures(
        &self,
        ids: &[ErasureId],
    ) -> Result<Vec<(ErasureId, ApprovalId)>, StoreError> {
        let mut found = Vec::new();
        let keys: Vec<Vec<u8>> = ids.iter().map(|id| id.as_bytes().to_vec()).collect();
        for keys in chunks(&keys) {
            let head = "SELECT id, approval_id FROM waiting_request
                        WHERE approval_id IN (SELECT id FROM approval WHERE state = 0) AND id IN";
            let mut query = in_list(head, keys);
            let rows = query.build().fetch_all(&self.reader).await;
            for row in rows.map_err(during("find waiting requests"))? {
                found.push(decode::waiting_erasure(&row)?);
            }
        }
        found.sort_unstable();
        // Keep the newest approval of each erasure.
        found.reverse();
        found.dedup_by_key(|(erasure, _)| *erasure);
        Ok(found)
    }

    async fn approve(
        &self,
        decision: &ApprovalDecision,
        effect: Effect<'_>,
    ) -> Result<Option<ErasureNumber>, StoreError> {
        let mut write = self.write("approve").await?;
        let done = approve(&mut write.inner, &self.authentic, decision, effect).await;
        write.finish(done).await
    }

    async fn end_approval(
        &self,
        id: ApprovalId,
        end: End,
        at: Timestamp,
        decision: Option<&Decision>,
    ) -> Result<bool, StoreError> {
        let mut write = self.write("end an approval").await?;
        let done = end_approval(&mut write.inner, id, end, at, decision).await;
        write.finish(done).await
    }

    async fn unrecorded_approvals(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError> {
        let rows = sqlx::query(select!(
            "WHERE state <> 0 AND recorded = 0 AND changed_at_ms < ? ORDER BY id LIMIT ?"
        ))
        .bind(signed(before.as_millis(), "approval.changed_at_ms")?)
        .bind(limit)
        .fetch_all(&self.reader)
        .await
        .map_err(during("read approvals"))?;
        rows.iter().map(decode::approval).collect()
    }

    async fn approval_is_recorded(&self, id: ApprovalId) -> Result<(), StoreError> {
        let mut write = self.write("an approval is on record").await?;
        let done = recorded(&mut write.inner, id).await;
        write.finish(done).await
    }

    async fn forget_approvals(&self, before: Timestamp) -> Result<bool, StoreError> {
        let before = signed(before.as_millis(), "approval.asked_at_ms")?;
        let mut write = self.write("forget approvals").await?;
        let done = forget(&mut write.inner, before).await;
        write.finish(done).await
    }

    async fn accept_counted(
        &self,
        erasures: &[Erasure],
        counts: &[ShredCount],
        limits: &ShredLimits,
        now: Timestamp,
    ) -> Result<Option<ErasureNumber>, StoreError> {
        let mut write = self.write("accept requests").await?;
        let counted = shred_window::count(&mut write.inner, counts, limits, now).await;
        let done = match counted {
            Ok(true) => erasures::accept(&mut write.inner, &self.authentic, erasures)
                .await
                .map(Some),
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        };
        write.finish(done).await
    }

    async fn shred_sums(
        &self,
        windows: &[ShredWindow],
        after: Timestamp,
    ) -> Result<Vec<u64>, StoreError> {
        let name = "read the windows of shreds";
        let mut connection = self.reader.acquire().await.map_err(during(name))?;
        shred_window::sums(&mut connection, windows, after).await
    }

    async fn forget_shred_counts(&self, until: Timestamp) -> Result<(), StoreError> {
        let until = signed(until.as_millis(), "shred_window.end_ms")?;
        let mut write = self.write("forget the windows of shreds").await?;
        let delete = sqlx::query("DELETE FROM shred_window WHERE end_ms <= ?").bind(until);
        let done = execute(&mut write.inner, "forget the windows of shreds", delete).await;
        write.finish(done.map(drop)).await
    }
}

async fn end_approval(
    connection: &mut SqliteConnection,
    id: ApprovalId,
    end: End,
    at: Timestamp,
    decision: Option<&Decision>,
) -> Result<bool, StoreError> {
    change_state(connection, id, StateColumns::ended(end, at, decision)?).await
}

async fn ask(
    connection: &mut SqliteConnection,
    approval: &Approval,
    erasures: &[Erasure],
    capacity: Capacity,
) -> Result<Enqueued, StoreError> {
    let (all, of_client): (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(CASE WHEN asked_by = ? THEN 1 END) FROM approval WHERE state = 0",
    )
    .bind(approval.asked_by.client.to_string())
    .fetch_one(&mut *connection)
    .await
    .map_err(during("count approvals"))?;
    if of_client >= i64::from(capacity.of_client) {
        return Ok(Enqueued::ClientFull);
    }
    if all >= i64::from(capacity.all) {
        return Ok(Enqueued::Full);
    }
    insert_approval(connection, approval).await?;
    let id = approval.id.as_bytes().to_vec();
    for rows in chunks(&ErasureColumns::numbered(0, erasures)?) {
        let head = concat!(
            "INSERT INTO waiting_request (approval_id, place, ",
            erasure_columns!(),
            ")"
        );
        let mut query = insert(head, rows, |mut row, columns| {
            row.push_bind(id.clone());
            row.push_bind(columns.number);
            push_erasure(columns, &mut row);
        });
        let written = query.build().execute(&mut *connection);
        written.await.map_err(during("keep waiting requests"))?;
    }
    Ok(Enqueued::Waiting)
}

async fn insert_approval(
    connection: &mut SqliteConnection,
    approval: &Approval,
) -> Result<(), StoreError> {
    let columns = ApprovalColumns::new(approval)?;
    let insert = sqlx::query(
        "INSERT INTO approval (id, kind, keyspace_id, keyspace_name, conversations, alone, version,
             settings, asked_by, asked_key, asked_at_ms, expires_at_ms, reason, digest)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(columns.id)
    .bind(columns.kind)
    .bind(columns.keyspace)
    .bind(columns.name)
    .bind(columns.conversations)
    .bind(columns.alone)
    .bind(columns.version)
    .bind(columns.settings)
    .bind(columns.asked_by)
    .bind(columns.asked_key)
    .bind(columns.asked_at)
    .bind(columns.expires_at)
    .bind(columns.reason)
    .bind(columns.digest);
    execute(connection, "ask for an approval", insert)
        .await
        .map(drop)
}

/// Changes an approval from waiting to another state; false if it does not wait any more.
async fn change_state(
    connection: &mut SqliteConnection,
    id: ApprovalId,
    columns: StateColumns,
) -> Result<bool, StoreError> {
    let update = sqlx::query(
        "UPDATE approval SET state = ?, void_reason = ?, changed_at_ms = ?, second_by = ?,
                second_key = ?, second_at_ms = ? WHERE id = ? AND state = 0",
    )
    .bind(columns.state)
    .bind(columns.void_reason)
    .bind(columns.changed_at)
    .bind(columns.by)
    .bind(columns.key)
    .bind(columns.at)
    .bind(id.as_bytes().to_vec());
    Ok(execute(connection, "change an approval", update).await? > 0)
}

/// Changes an approval from waiting to approved; false if it does not wait any more.
pub(crate) async fn set_approved(
    connection: &mut SqliteConnection,
    approved: &ApprovalDecision,
) -> Result<bool, StoreError> {
    let columns = StateColumns::approved(&approved.decision)?;
    change_state(connection, approved.id, columns).await
}

async fn approve(
    connection: &mut SqliteConnection,
    authentic: &Authenticity,
    decision: &ApprovalDecision,
    effect: Effect<'_>,
) -> Result<Option<ErasureNumber>, StoreError> {
    if !set_approved(connection, decision).await? {
        return Ok(None);
    }
    match effect {
        Effect::Erasures(erasures) => {
            return erasures::accept(connection, authentic, erasures)
                .await
                .map(Some);
        }
        Effect::Clock(mark) => clock::confirm(connection, authentic, mark).await?,
        Effect::HsmMove(keys) => hsm_moves::begin(connection, authentic, keys).await?,
    }
    Ok(Some(ErasureNumber::new(0)))
}

async fn recorded(connection: &mut SqliteConnection, id: ApprovalId) -> Result<(), StoreError> {
    let key = id.as_bytes().to_vec();
    let update = sqlx::query("UPDATE approval SET recorded = 1 WHERE id = ? AND state <> 0");
    execute(
        connection,
        "an approval is on record",
        update.bind(key.clone()),
    )
    .await?;
    let delete = sqlx::query(
        "DELETE FROM waiting_request
         WHERE approval_id = (SELECT id FROM approval WHERE id = ? AND state > 2)",
    );
    execute(connection, "drop waiting requests", delete.bind(key)).await?;
    Ok(())
}

async fn forget(connection: &mut SqliteConnection, before: i64) -> Result<bool, StoreError> {
    let old: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT id FROM approval WHERE recorded = 1 AND asked_at_ms < ? LIMIT ?",
    )
    .bind(before)
    .bind(TOGETHER)
    .fetch_all(&mut *connection)
    .await
    .map_err(during("find old approvals"))?;
    for id in &old {
        let delete =
            sqlx::query("DELETE FROM waiting_request WHERE approval_id = ?").bind(id.clone());
        execute(connection, "forget waiting requests", delete).await?;
        let delete = sqlx::query("DELETE FROM approval WHERE id = ?").bind(id.clone());
        execute(connection, "forget an approval", delete).await?;
    }
    Ok(!old.is_empty())
}
