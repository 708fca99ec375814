//! Reads rows of SQLite with their MACs, and writes MACs.

use async_trait::async_trait;
use lethe_core::deployment_key::RowMac;
use lethe_core::ports::StoreError;
use lethe_store_sql::authentic::{DEPLOYMENT, ERASURE, HSM_MOVE, MacRows, SIGNING_KEY, Table};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::errors::during;

pub(crate) const BUCKET: Table = Table {
    name: "bucket",
    columns: &["expiry_s", "hsm_key_id", "iv", "ciphertext"],
    key: 1,
};

/// All tables with a MAC.
pub(crate) const ALL: [&Table; 5] = [&DEPLOYMENT, &ERASURE, &BUCKET, &SIGNING_KEY, &HSM_MOVE];

pub(crate) struct Rows<'c>(pub(crate) &'c mut SqliteConnection);

#[async_trait]
impl MacRows for Rows<'_> {
    type Row = SqliteRow;

    async fn select(&mut self, query: String) -> Result<Vec<SqliteRow>, StoreError> {
        let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(&mut *self.0);
        rows.await.map_err(during("read rows with their MACs"))
    }

    async fn execute(
        &mut self,
        statement: String,
        mac: Option<RowMac>,
        key: &[i64],
    ) -> Result<(), StoreError> {
        let query = sqlx::query(AssertSqlSafe(statement)).bind(mac.map(Vec::from));
        let query = key.iter().fold(query, |query, number| query.bind(*number));
        let written = query.execute(&mut *self.0).await;
        written.map(drop).map_err(during("write a MAC"))
    }
}
