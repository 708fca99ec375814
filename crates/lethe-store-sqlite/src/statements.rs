//! One statement: outside of a transaction, or inside one that its caller began.

use lethe_core::ports::StoreError;
use sqlx::SqliteConnection;
use sqlx::sqlite::{SqliteArguments, SqliteRow};

use crate::errors::during;
use crate::open::SqliteStore;

pub(crate) type Statement<'q> = sqlx::query::Query<'q, sqlx::Sqlite, SqliteArguments>;

pub(crate) async fn execute(
    connection: &mut SqliteConnection,
    name: &'static str,
    statement: Statement<'_>,
) -> Result<u64, StoreError> {
    Ok(statement
        .execute(connection)
        .await
        .map_err(during(name))?
        .rows_affected())
}

impl SqliteStore {
    /// One statement, so one snapshot.
    pub(crate) async fn rows(
        &self,
        name: &'static str,
        statement: &'static str,
    ) -> Result<Vec<SqliteRow>, StoreError> {
        sqlx::query(statement)
            .fetch_all(&self.reader)
            .await
            .map_err(during(name))
    }
}
