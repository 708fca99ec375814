//! The windows of shreds that needed no approval.

use lethe_core::approval::{ShredCount, ShredLimits, ShredSums, ShredWindow, sum_by_window};
use lethe_core::ports::StoreError;
use lethe_core::time::Timestamp;
use lethe_store_sql::encode::WindowColumns;
use lethe_store_sql::row::signed;
use sqlx::SqliteConnection;

use crate::errors::during;
use crate::statements::execute;

/// Adds counts to their windows, in a transaction; false, and adds nothing, if they do not fit.
pub(crate) async fn count(
    connection: &mut SqliteConnection,
    counts: &[ShredCount],
    limits: &ShredLimits,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let added = sum_by_window(counts);
    let windows: Vec<ShredWindow> = added.keys().cloned().collect();
    let counted = sums(connection, &windows, limits.begin(now)).await?;
    let mut sums: ShredSums = windows.into_iter().zip(counted).collect();
    if !counts.iter().all(|count| limits.add(&mut sums, count)) {
        return Ok(false);
    }
    let end = signed(limits.end_of_part(now).as_millis(), "shred_window.end_ms")?;
    for (window, conversations) in added {
        let columns = WindowColumns::new(&window);
        let insert = sqlx::query(
            "INSERT INTO shred_window (pool, client, keyspace_id, end_ms, conversations)
             VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
             SET conversations = conversations + excluded.conversations",
        )
        .bind(columns.pool)
        .bind(columns.client)
        .bind(columns.keyspace)
        .bind(end)
        .bind(signed(conversations, "shred_window.conversations")?);
        execute(connection, "count shreds", insert).await?;
    }
    Ok(true)
}

/// The sum of each window.
pub(crate) async fn sums(
    connection: &mut SqliteConnection,
    windows: &[ShredWindow],
    after: Timestamp,
) -> Result<Vec<u64>, StoreError> {
    let after = signed(after.as_millis(), "shred_window.end_ms")?;
    let mut sums = Vec::with_capacity(windows.len());
    for window in windows {
        let columns = WindowColumns::new(window);
        let sum: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(conversations), 0) FROM shred_window
             WHERE pool = ? AND client = ? AND keyspace_id = ? AND end_ms > ?",
        )
        .bind(columns.pool)
        .bind(columns.client)
        .bind(columns.keyspace)
        .bind(after)
        .fetch_one(&mut *connection)
        .await
        .map_err(during("read the windows of shreds"))?;
        sums.push(sum.cast_unsigned());
    }
    Ok(sums)
}
