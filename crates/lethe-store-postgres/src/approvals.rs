//! The store of approvals, and of the windows of shreds.

use std::sync::Arc;

use async_trait::async_trait;
use lethe_core::approval::{
    Approval, ApprovalDecision, ApprovalId, Decision, End, ShredCount, ShredLimits, ShredWindow,
};
use lethe_core::clock::Mark;
use lethe_core::erasure::{Erasure, ErasureNumber};
use lethe_core::ports::{ApprovalStore, Capacity, Effect, Enqueued, StoreError};
use lethe_core::receipt::ErasureId;
use lethe_core::succession::PublishedKey;
use lethe_core::time::Timestamp;
use lethe_store_sql::authentic::Authenticity;
use lethe_store_sql::decode;
use lethe_store_sql::encode::{ApprovalColumns, ErasureColumns, StateColumns};
use lethe_store_sql::row::signed;
use sqlx::PgConnection;

use crate::errors::during;
use crate::open::PostgresStore;
use crate::statements::{column, execute, rows};
use crate::{clock, erasures, hsm_moves, shred_window};

/// The number of approvals that one transaction deletes.
const TOGETHER: i64 = 20;
/// Who asks for an approval holds this lock of the transaction: nobody else counts meanwhile.
const ASKING: i64 = 0x6c65_7468_6561;

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
impl ApprovalStore for PostgresStore {
    async fn ask_approval(
        &self,
        approval: &Approval,
        erasures: &[Erasure],
        capacity: Capacity,
    ) -> Result<Enqueued, StoreError> {
        let approval = ApprovalColumns::new(approval)?;
        let erasures = ErasureColumns::numbered(0, erasures)?;
        self.calls
            .write("ask for an approval", move |connection| {
                Box::pin(ask(connection, approval, erasures, capacity))
            })
            .await
    }

    async fn approval(&self, id: ApprovalId) -> Result<Option<Approval>, StoreError> {
        let name = "find an approval";
        let rows = self.calls.read(name, move |connection| {
            let query = sqlx::query(select!("WHERE id = $1")).bind(id.as_bytes().to_vec());
            Box::pin(rows(connection, name, query))
        });
        rows.await?.first().map(decode::approval).transpose()
    }

    async fn waiting_approvals(
        &self,
        after: ApprovalId,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError> {
        let name = "read approvals";
        let rows = self.calls.read(name, move |connection| {
            let query = sqlx::query(select!("WHERE state = 0 AND id > $1 ORDER BY id LIMIT $2"));
            let query = query.bind(after.as_bytes().to_vec()).bind(i64::from(limit));
            Box::pin(rows(connection, name, query))
        });
        rows.await?.iter().map(decode::approval).collect()
    }

    async fn approval_erasures(&self, id: ApprovalId) -> Result<Vec<Erasure>, StoreError> {
        let name = "read waiting requests";
        // An erasure gets its times when it is accepted.
        let rows = self.calls.read(name, move |connection| {
            let query = sqlx::query(
                "SELECT 0::bigint AS number, id, kind, keyspace_id, 0::bigint AS accepted_at_ms,
                        0::bigint AS leases_end_at_ms, tag, commitment, leaves, keyspace_name, version
                 FROM waiting_request WHERE approval_id = $1 ORDER BY place",
            );
            Box::pin(rows(connection, name, query.bind(id.as_bytes().to_vec())))
        });
        let erasure = |row| decode::erasure(row).map(|accepted| accepted.erasure);
        rows.await?.iter().map(erasure).collect()
    }

    async fn waiting_erasures(
        &self,
        ids: &[ErasureId],
    ) -> Result<Vec<(ErasureId, ApprovalId)>, StoreError> {
        let name = "find waiting requests";
        let keys = column(ids, |id| id.as_bytes().to_vec());
        // The newest approval of each.
        let rows = self.calls.read(name, move |connection| {
            let query = sqlx::query(
                "SELECT DISTINCT ON (w.id) w.id, w.approval_id
                 FROM waiting_request w JOIN approval a ON a.id = w.approval_id AND a.state = 0
                 WHERE w.id = ANY($1) ORDER BY w.id, w.approval_id DESC",
            );
            Box::pin(rows(connection, name, query.bind(keys)))
        });
        rows.await?.iter().map(decode::waiting_erasure).collect()
    }

    async fn approve(
        &self,
        decision: &ApprovalDecision,
        effect: Effect<'_>,
    ) -> Result<Option<ErasureNumber>, StoreError> {
        let (authentic, decision) = (Arc::clone(&self.authentic), decision.clone());
        let effect = match effect {
            Effect::Erasures(erasures) => Owned::Erasures(erasures.to_vec()),
            Effect::Clock(mark) => Owned::Clock(*mark),
            Effect::HsmMove(keys) => Owned::HsmMove(keys.to_vec()),
        };
        self.calls
            .write("approve", move |connection| {
                Box::pin(approve(connection, authentic, decision, effect))
            })
            .await
    }

    async fn end_approval(
        &self,
        id: ApprovalId,
        end: End,
        at: Timestamp,
        decision: Option<&Decision>,
    ) -> Result<bool, StoreError> {
        let columns = StateColumns::ended(end, at, decision)?;
        self.calls
            .write("end an approval", move |connection| {
                Box::pin(change_state(connection, id, columns))
            })
            .await
    }

    async fn unrecorded_approvals(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError> {
        let name = "read approvals";
        let before = signed(before.as_millis(), "approval.changed_at_ms")?;
        let rows = self.calls.read(name, move |connection| {
            let query = sqlx::query(select!(
                "WHERE state <> 0 AND recorded = 0 AND changed_at_ms < $1 ORDER BY id LIMIT $2"
            ));
            let query = query.bind(before).bind(i64::from(limit));
            Box::pin(rows(connection, name, query))
        });
        rows.await?.iter().map(decode::approval).collect()
    }

    async fn approval_is_recorded(&self, id: ApprovalId) -> Result<(), StoreError> {
        self.calls
            .write("an approval is on record", move |connection| {
                Box::pin(recorded(connection, id))
            })
            .await
    }

    async fn forget_approvals(&self, before: Timestamp) -> Result<bool, StoreError> {
        let before = signed(before.as_millis(), "approval.asked_at_ms")?;
        self.calls
            .write("forget approvals", move |connection| {
                Box::pin(forget(connection, before))
            })
            .await
    }

    async fn accept_counted(
        &self,
        erasures: &[Erasure],
        counts: &[ShredCount],
        limits: &ShredLimits,
        now: Timestamp,
    ) -> Result<Option<ErasureNumber>, StoreError> {
        let (authentic, limits) = (Arc::clone(&self.authentic), *limits);
        let (erasures, counts) = (erasures.to_vec(), counts.to_vec());
        self.calls
            .write("accept requests", move |connection| {
                Box::pin(async move {
                    if !shred_window::count(connection, &counts, &limits, now).await? {
                        return Ok(None);
                    }
                    let first = erasures::accept(connection, &authentic, &erasures).await?;
                    Ok(Some(first))
                })
            })
            .await
    }

    async fn shred_sums(
        &self,
        windows: &[ShredWindow],
        after: Timestamp,
    ) -> Result<Vec<u64>, StoreError> {
        let windows = windows.to_vec();
        self.calls
            .read("read the windows of shreds", move |connection| {
                Box::pin(async move { shred_window::sums(connection, &windows, after).await })
            })
            .await
    }

    async fn forget_shred_counts(&self, until: Timestamp) -> Result<(), StoreError> {
        let name = "forget the windows of shreds";
        let until = signed(until.as_millis(), "shred_window.end_ms")?;
        let gone = self.calls.write(name, move |connection| {
            let delete = sqlx::query("DELETE FROM shred_window WHERE end_ms <= $1").bind(until);
            Box::pin(execute(connection, name, delete))
        });
        gone.await.map(drop)
    }
}

/// An [`Effect`] that outlives its caller.
enum Owned {
    Erasures(Vec<Erasure>),
    Clock(Mark),
    HsmMove(Vec<PublishedKey>),
}

async fn ask(
    connection: &mut PgConnection,
    approval: ApprovalColumns,
    erasures: Vec<ErasureColumns>,
    capacity: Capacity,
) -> Result<Enqueued, StoreError> {
    let alone = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(ASKING);
    execute(connection, "ask for an approval", alone).await?;
    let (all, of_client): (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE asked_by = $1) FROM approval WHERE state = 0",
    )
    .bind(&approval.asked_by)
    .fetch_one(&mut *connection)
    .await
    .map_err(during("count approvals"))?;
    if of_client >= i64::from(capacity.of_client) {
        return Ok(Enqueued::ClientFull);
    }
    if all >= i64::from(capacity.all) {
        return Ok(Enqueued::Full);
    }
    let id = approval.id.clone();
    insert_approval(connection, approval).await?;
    let insert = sqlx::query(
        "INSERT INTO waiting_request (approval_id, place, id, kind, keyspace_id, tag, commitment,
             leaves, keyspace_name, version)
         SELECT $1, place, id, kind, keyspace_id, tag, commitment, leaves, keyspace_name, version
         FROM unnest($2::bigint[], $3::bytea[], $4::bigint[], $5::bytea[], $6::bytea[], $7::bytea[],
                     $8::bytea[], $9::text[], $10::bigint[])
              AS new (place, id, kind, keyspace_id, tag, commitment, leaves, keyspace_name, version)",
    )
    .bind(id)
    .bind(column(&erasures, |it| it.number));
    let insert = erasures::bind(insert, &erasures);
    execute(connection, "keep waiting requests", insert).await?;
    Ok(Enqueued::Waiting)
}

async fn insert_approval(
    connection: &mut PgConnection,
    columns: ApprovalColumns,
) -> Result<(), StoreError> {
    let insert = sqlx::query(
        "INSERT INTO approval (id, kind, keyspace_id, keyspace_name, conversations, alone, version,
             settings, asked_by, asked_key, asked_at_ms, expires_at_ms, reason, digest)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
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
    connection: &mut PgConnection,
    id: ApprovalId,
    columns: StateColumns,
) -> Result<bool, StoreError> {
    let update = sqlx::query(
        "UPDATE approval SET state = $1, void_reason = $2, changed_at_ms = $3, second_by = $4,
                second_key = $5, second_at_ms = $6 WHERE id = $7 AND state = 0",
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
    connection: &mut PgConnection,
    approved: &ApprovalDecision,
) -> Result<bool, StoreError> {
    let columns = StateColumns::approved(&approved.decision)?;
    change_state(connection, approved.id, columns).await
}

async fn approve(
    connection: &mut PgConnection,
    authentic: Arc<Authenticity>,
    decision: ApprovalDecision,
    effect: Owned,
) -> Result<Option<ErasureNumber>, StoreError> {
    if !set_approved(connection, &decision).await? {
        return Ok(None);
    }
    match effect {
        Owned::Erasures(erasures) => {
            return erasures::accept(connection, &authentic, &erasures)
                .await
                .map(Some);
        }
        Owned::Clock(mark) => clock::confirm(connection, &authentic, &mark).await?,
        Owned::HsmMove(keys) => hsm_moves::begin(connection, &authentic, &keys).await?,
    }
    Ok(Some(ErasureNumber::new(0)))
}

async fn recorded(connection: &mut PgConnection, id: ApprovalId) -> Result<(), StoreError> {
    let key = id.as_bytes().to_vec();
    let update = sqlx::query("UPDATE approval SET recorded = 1 WHERE id = $1 AND state <> 0");
    let update = update.bind(key.clone());
    execute(connection, "an approval is on record", update).await?;
    let delete = sqlx::query(
        "DELETE FROM waiting_request
         WHERE approval_id = (SELECT id FROM approval WHERE id = $1 AND state > 2)",
    );
    execute(connection, "drop waiting requests", delete.bind(key))
        .await
        .map(drop)
}

/// Its waiting requests go with an approval.
async fn forget(connection: &mut PgConnection, before: i64) -> Result<bool, StoreError> {
    let delete = sqlx::query(
        "DELETE FROM approval WHERE id IN
             (SELECT id FROM approval WHERE recorded = 1 AND asked_at_ms < $1 LIMIT $2)",
    );
    let delete = delete.bind(before).bind(TOGETHER);
    Ok(execute(connection, "forget approvals", delete).await? > 0)
}
