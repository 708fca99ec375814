//! Wishes to shred, kept before they are sent.

use jiff::Timestamp;
use lethe_client::{ShredId, ShredRequest};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Store, StoreError};

impl Store {
    /// Writes a wish down.
    ///
    /// # Errors
    /// See [`StoreError`]; do not send it then.
    pub async fn keep_shred(
        &self,
        request: &ShredRequest,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO shred (id, room, requested_at) VALUES (?, ?, ?)")
            .bind(request.id().to_string())
            .bind(request.conversation().as_str())
            .bind(now.as_millisecond())
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// Keeps the receipt beside its wish.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn finish_shred(&self, id: ShredId, receipt: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE shred SET receipt = ? WHERE id = ?")
            .bind(receipt)
            .bind(id.to_string())
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// Wishes without a receipt.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn open_shreds(&self) -> Result<Vec<ShredRequest>, StoreError> {
        let rows = sqlx::query("SELECT id, room FROM shred WHERE receipt IS NULL")
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(decode).collect()
    }
}

fn decode(row: &SqliteRow) -> Result<ShredRequest, StoreError> {
    let id = row.try_get::<&str, _>("id")?.parse();
    let room = row.try_get::<&str, _>("room")?.parse();
    Ok(ShredRequest::with_id(
        id.map_err(|_| StoreError::Corrupt("shred.id"))?,
        room.map_err(|_| StoreError::Corrupt("shred.room"))?,
    ))
}
