//! The row of the deployment, and the store's seat.

use lethe_core::identity::DeploymentId;
use lethe_core::ports::{Seat, StoreError};

use crate::decode;
use crate::statements::Connection;

/// The only row.
pub const DEPLOYMENT: &str =
    "SELECT row_id, id, clock_high_water_ms, clock_lag_ms, clock_boot_id, clock_boot_ms,
            clock_gained_ms, mac FROM deployment";

/// For [`crate::decode::seat`].
pub const SEAT: &str = "SELECT store_id, nonce, next FROM seat";

/// The only row, which is about to be changed.
pub(crate) async fn locked<C: Connection>(
    db: &mut C,
    name: &'static str,
) -> Result<C::Row, StoreError> {
    let query = format!("{DEPLOYMENT} {}", C::FOR_UPDATE);
    let row = db.rows(name, &query, vec![]).await?.pop();
    row.ok_or_else(|| StoreError::Corrupt("deployment: no row".into()))
}

/// # Errors
/// Those of the store; [`StoreError::Conflict`] when it is another one.
pub async fn set(db: &mut impl Connection, id: DeploymentId) -> Result<(), StoreError> {
    let name = "set deployment";
    match decode::deployment(&locked(db, name).await?)? {
        Some(present) if present == id => return Ok(()),
        Some(_) => {
            return Err(StoreError::Conflict(
                "the store belongs to another deployment",
            ));
        }
        None => {}
    }
    let update = "UPDATE deployment SET id = $1";
    let binds = vec![id.as_bytes().into()];
    db.execute(name, update, binds).await.map(drop)
}

/// # Errors
/// Those of the store.
pub async fn set_seat(db: &mut impl Connection, seat: &Seat) -> Result<(), StoreError> {
    let replace = "INSERT INTO seat (row_id, store_id, nonce, next) VALUES (1, $1, $2, $3)
         ON CONFLICT (row_id) DO UPDATE SET
             store_id = excluded.store_id, nonce = excluded.nonce, next = excluded.next";
    let binds = vec![
        seat.store.as_bytes().into(),
        seat.nonce.as_bytes().into(),
        seat.next.map(|next| next.as_bytes().to_vec()).into(),
    ];
    db.execute("set the seat", replace, binds).await.map(drop)
}
