//! One statement, in the transaction of its caller or alone.

use async_trait::async_trait;
use lethe_core::ports::StoreError;
use lethe_store_sql::statements::{Bind, Connection};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{AssertSqlSafe, PgConnection, Postgres};

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

/// For the statements that both stores share.
pub(crate) struct Db<'c>(pub(crate) &'c mut PgConnection);

#[async_trait]
impl Connection for Db<'_> {
    type Row = PgRow;

    const FOR_UPDATE: &'static str = "FOR UPDATE";

    async fn rows(
        &mut self,
        name: &'static str,
        statement: &str,
        binds: Vec<Bind>,
    ) -> Result<Vec<PgRow>, StoreError> {
        let rows = bound(statement, binds).fetch_all(&mut *self.0).await;
        rows.map_err(during(name))
    }

    async fn execute(
        &mut self,
        name: &'static str,
        statement: &str,
        binds: Vec<Bind>,
    ) -> Result<u64, StoreError> {
        execute(self.0, name, bound(statement, binds)).await
    }
}

fn bound(statement: &str, binds: Vec<Bind>) -> Statement<'static> {
    let query = sqlx::query(AssertSqlSafe(statement.to_owned()));
    binds.into_iter().fold(query, |query, bind| match bind {
        Bind::Integer(number) => query.bind(number),
        Bind::Bytes(bytes) => query.bind(bytes),
        Bind::Text(text) => query.bind(text),
    })
}
