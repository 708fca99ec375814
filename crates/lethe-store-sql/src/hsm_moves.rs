//! A move to another HSM.

use lethe_core::ports::StoreError;
use lethe_core::succession::PublishedKey;

use crate::authentic::{Authenticity, HSM_MOVE, SIGNING_KEY};
use crate::encode::purpose_number;
use crate::statements::Connection;

/// The keys that are published, for [`crate::decode::signing_key`].
pub const SIGNING_KEYS: &str =
    "SELECT number, id, purpose, public_key, predecessor, endorsement, mac FROM signing_key
     ORDER BY number";

/// The move that is under way, for [`crate::decode::hsm_move`].
pub const MOVE: &str = "SELECT row_id, emptied, mac FROM hsm_move";

/// # Errors
/// Those of the store; [`StoreError::Conflict`] when one is under way.
pub async fn begin(
    db: &mut impl Connection,
    authentic: &Authenticity,
    keys: &[PublishedKey],
) -> Result<(), StoreError> {
    let name = "begin HSM move";
    let insert = "INSERT INTO hsm_move (row_id) VALUES (1) ON CONFLICT DO NOTHING";
    let otherwise = "a move to another HSM is under way";
    db.execute_one(name, insert, vec![], otherwise).await?;
    authentic.check_all(db, &SIGNING_KEY).await?;
    for PublishedKey { key, succession } in keys {
        let insert = "INSERT INTO signing_key (id, purpose, public_key, predecessor, endorsement)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING";
        let binds = vec![
            key.id.as_bytes().into(),
            purpose_number(key.purpose).into(),
            key.public_key.as_slice().into(),
            succession
                .map(|it| it.predecessor.as_bytes().to_vec())
                .into(),
            succession.map(|it| it.endorsement.to_vec()).into(),
        ];
        db.execute(name, insert, binds).await?;
    }
    // Those that were there were checked; the others are new.
    authentic.seal(db, &SIGNING_KEY).await?;
    authentic.seal(db, &HSM_MOVE).await
}

/// # Errors
/// Those of the store.
pub async fn emptied(db: &mut impl Connection, authentic: &Authenticity) -> Result<(), StoreError> {
    authentic.check_all(db, &HSM_MOVE).await?;
    let update = "UPDATE hsm_move SET emptied = 1";
    db.execute("HSM is emptied", update, vec![]).await?;
    authentic.seal(db, &HSM_MOVE).await
}
