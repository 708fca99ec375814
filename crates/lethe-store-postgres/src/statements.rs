//! One statement, in the transaction of its caller or alone.

use lethe_core::ports::StoreError;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{PgConnection, Postgres};

use crate::errors::during;

pub(crate) type Statement<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

pub(crate) async fn execute(
    connection: &mut PgConnection,
    name: &'static str,
    statement: Statement<'_>,
) -> Result<u64, StoreError> {
    let done = statement.execute(connection).await.map_err(during(name))?;
    Ok(done.rows_affected())
}

pub(crate) async fn rows(
    connection: &mut PgConnection,
    name: &'static str,
    statement: Statement<'_>,
) -> Result<Vec<PgRow>, StoreError> {
    statement.fetch_all(connection).await.map_err(during(name))
}

/// One column of many rows, for `unnest`.
pub(crate) fn column<'r, T, C>(rows: &'r [T], of: impl FnMut(&'r T) -> C) -> Vec<C> {
    rows.iter().map(of).collect()
}
