//! Sessions whose last COMMIT may be under way in the server: each is ended, and seen to be gone.

use std::iter::repeat;
use std::time::Duration;

use lethe_core::ports::StoreError;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::connect::APPLICATION;
use crate::errors::{during, within};

/// Longest wait until a session that was ended is gone.
const LIMIT: Duration = Duration::from_secs(5);

/// In milliseconds, from one look to the next. Nobody ends the session meanwhile: most are about to end.
const LOOKS: [u64; 6] = [1, 2, 4, 8, 16, 32];

/// A session of the server: its process, and when it began.
pub(crate) type Backend = (i32, String);

pub(crate) fn backend(row: &PgRow) -> Result<Backend, sqlx::Error> {
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Ends the sessions that an earlier process has left in the database. None of them holds the lock on it.
pub(crate) async fn end_left(connection: &mut PgConnection) -> Result<(), StoreError> {
    let failed = during("find sessions");
    let left = sqlx::query(
        "SELECT pid, backend_start::text FROM pg_stat_activity
         WHERE application_name = $1 AND datname = current_database() AND usename = current_user",
    );
    let left = left.bind(APPLICATION).fetch_all(&mut *connection);
    let left = within(LIMIT, "find sessions", async {
        left.await.map_err(&failed)
    })
    .await?;
    let left: Result<Vec<Backend>, _> = left.iter().map(backend).collect();
    for one in left.map_err(&failed)? {
        end(connection, &one).await?;
    }
    Ok(())
}

/// Waits until a session is gone, and ends it when it does not go by itself.
pub(crate) async fn end(
    connection: &mut PgConnection,
    (pid, began): &Backend,
) -> Result<(), StoreError> {
    let name = "end a session";
    let looks = LOOKS.map(|pause| (false, pause)).into_iter();
    let gone = async {
        for (end, pause) in looks.chain(repeat((true, 50))) {
            let found = sqlx::query(
                "SELECT CASE WHEN $3 THEN pg_terminate_backend(pid) END FROM pg_stat_activity
                 WHERE pid = $1 AND backend_start::text = $2",
            );
            let found = found.bind(pid).bind(began).bind(end);
            let found = found.fetch_optional(&mut *connection).await;
            if found.map_err(during(name))?.is_none() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        Ok(())
    };
    within(LIMIT, name, gone).await
}
