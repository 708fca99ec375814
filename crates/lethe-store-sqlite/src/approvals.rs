//! What waits for a second operator.

use async_trait::async_trait;
use lethe_core::approval::{Approval, ApprovalId, ApprovalState, SecondWord};
use lethe_core::ports::{ApprovalStore, Asking, Room, StoreError};
use lethe_core::receipt::RequestId;
use lethe_core::request::Request;
use lethe_core::time::Timestamp;
use sqlx::SqliteConnection;

use crate::chunks::{chunks, in_list, insert};
use crate::decode::{self, signed};
use crate::errors::during;
use crate::open::SqliteStore;
use crate::requests::{Columns, wish_columns};
use crate::statements::execute;

/// Rows deleted in one transaction, at most.
const TOGETHER: i64 = 20;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, kind, keyspace_id, keyspace_name, conversations, alone, version, asked_by,
                    asked_key, asked_at_ms, expires_at_ms, state, second_by, second_key,
                    second_at_ms FROM approval ",
            $rest
        )
    };
}

#[async_trait]
impl ApprovalStore for SqliteStore {
    async fn ask_approval(
        &self,
        approval: &Approval,
        requests: &[Request],
        room: Room,
    ) -> Result<Asking, StoreError> {
        let mut write = self.write("ask for an approval").await?;
        let done = ask(&mut write.inner, approval, requests, room).await;
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

    async fn approvals(
        &self,
        state: ApprovalState,
        after: ApprovalId,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError> {
        let rows = sqlx::query(select!("WHERE state = ? AND id > ? ORDER BY id LIMIT ?"))
            .bind(number(state))
            .bind(after.as_bytes().to_vec())
            .bind(limit)
            .fetch_all(&self.reader)
            .await
            .map_err(during("read approvals"))?;
        rows.iter().map(decode::approval).collect()
    }

    async fn approval_requests(&self, id: ApprovalId) -> Result<Vec<Request>, StoreError> {
        // Times are set at the acceptance.
        let rows = sqlx::query(
            "SELECT 0 AS number, id, kind, keyspace_id, 0 AS accepted_at_ms,
                    0 AS leases_end_at_ms, tag, commitment, leaves, keyspace_name, version
             FROM waiting_request WHERE approval_id = ? ORDER BY place",
        )
        .bind(id.as_bytes().to_vec())
        .fetch_all(&self.reader)
        .await
        .map_err(during("read waiting requests"))?;
        let request = |row| decode::request(row).map(|accepted| accepted.request);
        rows.iter().map(request).collect()
    }

    async fn waiting_requests(
        &self,
        ids: &[RequestId],
    ) -> Result<Vec<(RequestId, ApprovalId)>, StoreError> {
        let mut found = Vec::new();
        let keys: Vec<Vec<u8>> = ids.iter().map(|id| id.as_bytes().to_vec()).collect();
        for keys in chunks(&keys) {
            let head = "SELECT id, approval_id FROM waiting_request
                        WHERE approval_id IN (SELECT id FROM approval WHERE state = 0) AND id IN";
            let mut query = in_list(head, keys);
            let rows = query.build().fetch_all(&self.reader).await;
            for row in rows.map_err(during("find waiting requests"))? {
                found.push(decode::waiting_request(&row)?);
            }
        }
        found.sort_unstable();
        // The newest of each.
        found.reverse();
        found.dedup_by_key(|(request, _)| *request);
        Ok(found)
    }

    async fn advance_approval(
        &self,
        id: ApprovalId,
        from: ApprovalState,
        to: ApprovalState,
        second: Option<&SecondWord>,
    ) -> Result<bool, StoreError> {
        let mut write = self.write("advance an approval").await?;
        let done = advance(&mut write.inner, id, from, to, second).await;
        write.finish(done).await
    }

    async fn forget_approvals(&self, before: Timestamp) -> Result<bool, StoreError> {
        let before = signed(before.as_millis(), "approval.asked_at_ms")?;
        let mut write = self.write("forget approvals").await?;
        let done = forget(&mut write.inner, before).await;
        write.finish(done).await
    }

    async fn newest_shreds(&self, limit: u32) -> Result<Vec<Timestamp>, StoreError> {
        let times: Vec<i64> = sqlx::query_scalar(
            "SELECT accepted_at_ms FROM request WHERE kind = 1 ORDER BY number DESC LIMIT ?",
        )
        .bind(limit)
        .fetch_all(&self.reader)
        .await
        .map_err(during("read the newest shreds"))?;
        let times = times.into_iter().map(i64::cast_unsigned);
        Ok(times.map(Timestamp::from_millis).collect())
    }
}

const fn number(state: ApprovalState) -> i64 {
    match state {
        ApprovalState::Waiting => 0,
        ApprovalState::Given => 1,
        ApprovalState::Done => 2,
        ApprovalState::Expired => 3,
        ApprovalState::Void => 4,
        ApprovalState::Withdrawn => 5,
    }
}

async fn ask(
    connection: &mut SqliteConnection,
    approval: &Approval,
    requests: &[Request],
    room: Room,
) -> Result<Asking, StoreError> {
    let (all, of_client): (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(CASE WHEN asked_by = ? THEN 1 END) FROM approval WHERE state = 0",
    )
    .bind(approval.asked_by.client.to_string())
    .fetch_one(&mut *connection)
    .await
    .map_err(during("count approvals"))?;
    if of_client >= i64::from(room.of_client) {
        return Ok(Asking::ClientFull);
    }
    if all >= i64::from(room.all) {
        return Ok(Asking::Full);
    }
    insert_approval(connection, approval).await?;
    let id = approval.id.as_bytes().to_vec();
    let rows: Vec<Columns> = (0..)
        .zip(requests)
        .map(|(place, request)| Columns::of(place, request))
        .collect::<Result<_, _>>()?;
    for rows in chunks(&rows) {
        let head = concat!(
            "INSERT INTO waiting_request (approval_id, place, ",
            wish_columns!(),
            ")"
        );
        let mut query = insert(head, rows, |mut row, columns| {
            row.push_bind(id.clone());
            row.push_bind(columns.number);
            columns.push_wish(&mut row);
        });
        let written = query.build().execute(&mut *connection);
        written.await.map_err(during("keep waiting requests"))?;
    }
    Ok(Asking::Waits)
}

async fn insert_approval(
    connection: &mut SqliteConnection,
    approval: &Approval,
) -> Result<(), StoreError> {
    use lethe_core::approval::Act;
    let (kind, conversations, alone, version) = match approval.act {
        Act::Shred {
            conversations,
            alone,
        } => (1, Some(conversations), Some(alone), None),
        Act::EraseKeyspace => (2, None, None, None),
        Act::DropVersion(version) => (3, None, None, Some(version.number())),
        Act::RaiseMinimum(version) => (4, None, None, Some(version.number())),
    };
    let insert = sqlx::query(
        "INSERT INTO approval (id, kind, keyspace_id, keyspace_name, conversations, alone, version,
             asked_by, asked_key, asked_at_ms, expires_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(approval.id.as_bytes().to_vec())
    .bind(kind)
    .bind(approval.keyspace.as_bytes().to_vec())
    .bind(approval.keyspace_name.as_str().to_owned())
    .bind(conversations)
    .bind(alone)
    .bind(version)
    .bind(approval.asked_by.client.to_string())
    .bind(approval.asked_by.key.to_vec())
    .bind(signed(approval.asked_at.as_millis(), "approval.asked_at_ms")?)
    .bind(signed(approval.expires_at.as_millis(), "approval.expires_at_ms")?);
    execute(connection, "ask for an approval", insert)
        .await
        .map(drop)
}

async fn advance(
    connection: &mut SqliteConnection,
    id: ApprovalId,
    from: ApprovalState,
    to: ApprovalState,
    second: Option<&SecondWord>,
) -> Result<bool, StoreError> {
    let at = second.map(|second| signed(second.at.as_millis(), "approval.second_at_ms"));
    let update = sqlx::query(
        "UPDATE approval SET state = ?, second_by = coalesce(?, second_by),
                second_key = coalesce(?, second_key), second_at_ms = coalesce(?, second_at_ms)
         WHERE id = ? AND state = ?",
    )
    .bind(number(to))
    .bind(second.map(|second| second.by.client.to_string()))
    .bind(second.map(|second| second.by.key.to_vec()))
    .bind(at.transpose()?)
    .bind(id.as_bytes().to_vec())
    .bind(number(from));
    let advanced = execute(connection, "advance an approval", update).await? > 0;
    use ApprovalState::{Expired, Void, Withdrawn};
    if advanced && matches!(to, Expired | Void | Withdrawn) {
        let delete = sqlx::query("DELETE FROM waiting_request WHERE approval_id = ?")
            .bind(id.as_bytes().to_vec());
        execute(connection, "drop waiting requests", delete).await?;
    }
    Ok(advanced)
}

async fn forget(connection: &mut SqliteConnection, before: i64) -> Result<bool, StoreError> {
    let old: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT id FROM approval WHERE state >= 2 AND asked_at_ms < ? LIMIT ?")
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
