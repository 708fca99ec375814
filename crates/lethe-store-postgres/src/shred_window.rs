//! The windows of shreds that needed no approval.

use lethe_core::approval::{ShredCount, ShredLimits, ShredSums, ShredWindow, sum_by_window};
use lethe_core::ports::StoreError;
use lethe_core::time::Timestamp;
use lethe_store_sql::encode::WindowColumns;
use lethe_store_sql::row::signed;
use sqlx::PgConnection;

use crate::erasures;
use crate::errors::during;
use crate::statements::{column, execute};

/// Adds counts to their windows; false, and adds nothing, if they do not fit. Locks the end of the requests:
/// nobody else counts until the transaction ends.
pub(crate) async fn count(
    connection: &mut PgConnection,
    counts: &[ShredCount],
    limits: &ShredLimits,
    now: Timestamp,
) -> Result<bool, StoreError> {
    if counts.is_empty() {
        return Ok(true);
    }
    // A statement of its own: the next one sees what was committed before the lock.
    erasures::lock(connection).await?;
    let added = sum_by_window(counts);
    let windows: Vec<ShredWindow> = added.keys().cloned().collect();
    let counted = sums(connection, &windows, limits.begin(now)).await?;
    let mut sums: ShredSums = windows.iter().cloned().zip(counted).collect();
    if !counts.iter().all(|count| limits.add(&mut sums, count)) {
        return Ok(false);
    }
    let end = signed(limits.end_of_part(now).as_millis(), "shred_window.end_ms")?;
    let columns = column(&windows, WindowColumns::new);
    let conversations = added.values();
    let conversations = conversations.map(|it| signed(*it, "shred_window.conversations"));
    let insert = sqlx::query(
        "INSERT INTO shred_window AS w (pool, client, keyspace_id, end_ms, conversations)
         SELECT pool, client, keyspace_id, $4, conversations
         FROM unnest($1::bigint[], $2::text[], $3::bytea[], $5::bigint[])
              AS new (pool, client, keyspace_id, conversations)
         ON CONFLICT (pool, client, keyspace_id, end_ms)
         DO UPDATE SET conversations = w.conversations + excluded.conversations",
    )
    .bind(column(&columns, |it| it.pool))
    .bind(column(&columns, |it| it.client.clone()))
    .bind(column(&columns, |it| it.keyspace.clone()))
    .bind(end)
    .bind(conversations.collect::<Result<Vec<_>, _>>()?);
    execute(connection, "count shreds", insert).await?;
    Ok(true)
}

/// The sum of each window. The inner query reads each by the primary key.
pub(crate) async fn sums(
    connection: &mut PgConnection,
    windows: &[ShredWindow],
    after: Timestamp,
) -> Result<Vec<u64>, StoreError> {
    let columns = column(windows, WindowColumns::new);
    let sums: Vec<i64> = sqlx::query_scalar(
        "SELECT (SELECT coalesce(sum(conversations), 0)::bigint FROM shred_window w
                 WHERE w.pool = of.pool AND w.client = of.client
                   AND w.keyspace_id = of.keyspace_id AND end_ms > $4)
         FROM unnest($1::bigint[], $2::text[], $3::bytea[]) WITH ORDINALITY
              AS of (pool, client, keyspace_id, place)
         ORDER BY place",
    )
    .bind(column(&columns, |it| it.pool))
    .bind(column(&columns, |it| it.client.clone()))
    .bind(column(&columns, |it| it.keyspace.clone()))
    .bind(signed(after.as_millis(), "shred_window.end_ms")?)
    .fetch_all(connection)
    .await
    .map_err(during("read the windows of shreds"))?;
    Ok(sums.into_iter().map(i64::cast_unsigned).collect())
}
