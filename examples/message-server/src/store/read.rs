//! Reading a room.

use jiff::Timestamp;
use lethe_client::Envelope;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Store, StoreError};
use crate::message::{Position, Room, StoredMessage};

impl Store {
    /// A room's messages behind `since`, oldest first; none if there is no such room.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn messages(
        &self,
        room: &Room,
        since: Position,
        limit: u32,
    ) -> Result<Option<Vec<StoredMessage>>, StoreError> {
        let rows = sqlx::query(
            "SELECT m.position, m.id, m.sent_at, k.wrapped_key, m.envelope
             FROM message m JOIN wrapped_key k ON k.id = m.wrapped_key
             WHERE m.room = ? AND m.position > ? ORDER BY m.position LIMIT ?",
        )
        .bind(room.as_str())
        .bind(since.0)
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        if rows.is_empty() && !self.has_room(room).await? {
            return Ok(None);
        }
        rows.iter().map(decode).collect::<Result<_, _>>().map(Some)
    }

    /// Whether anything was ever said in a room.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn has_room(&self, room: &Room) -> Result<bool, StoreError> {
        let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM message WHERE room = ? LIMIT 1")
            .bind(room.as_str())
            .fetch_optional(&self.readers)
            .await?;
        Ok(found.is_some())
    }
}

fn decode(row: &SqliteRow) -> Result<StoredMessage, StoreError> {
    let text = |column| row.try_get::<&str, _>(column);
    Ok(StoredMessage {
        position: Position(row.try_get("position")?),
        id: text("id")?
            .parse()
            .map_err(|_| StoreError::Corrupt("message.id"))?,
        sent_at: Timestamp::from_millisecond(row.try_get("sent_at")?)
            .map_err(|_| StoreError::Corrupt("message.sent_at"))?,
        envelope: Envelope {
            wrapped_key: text("wrapped_key")?
                .parse()
                .map_err(|_| StoreError::Corrupt("wrapped_key.wrapped_key"))?,
            bytes: row.try_get("envelope")?,
        },
    })
}
