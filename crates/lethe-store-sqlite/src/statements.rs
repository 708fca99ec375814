//! One statement: outside of a transaction, or inside one that its caller began.

use async_trait::async_trait;
use lethe_core::ports::StoreError;
use lethe_store_sql::statements::{Bind, Connection};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, SqliteConnection};

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

/// For the statements that both stores share.
pub(crate) struct Db<'c>(pub(crate) &'c mut SqliteConnection);

#[async_trait]
impl Connection for Db<'_> {
    type Row = SqliteRow;

    // A transaction that writes has the lock on all.
    const FOR_UPDATE: &'static str = "";

    async fn rows(
        &mut self,
        name: &'static str,
        statement: &str,
        binds: Vec<Bind>,
    ) -> Result<Vec<SqliteRow>, StoreError> {
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
