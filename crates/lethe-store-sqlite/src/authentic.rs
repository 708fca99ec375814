//! MACs of rows: who writes to the database, and does not have the key in the directory, can neither
//! make up a row nor change one unnoticed. Which columns count, and in which order, is in
//! `docs/FORMATS.md`.

use std::sync::OnceLock;

use lethe_core::deployment_key::{Column, DeploymentKey, RowMac};
use lethe_core::ports::StoreError;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, SqliteConnection, TypeInfo, ValueRef};

use crate::errors::during;

/// A table whose rows are authenticated.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// In the order in which they are authenticated; the first ones name the row.
    columns: &'static [&'static str],
    /// How many of them name the row.
    key: usize,
}

pub(crate) const DEPLOYMENT: Table = Table {
    name: "deployment",
    columns: &[
        "row_id",
        "id",
        "clock_high_water_ms",
        "clock_lag_ms",
        "clock_boot_id",
        "clock_boot_ms",
        "clock_gained_ms",
    ],
    key: 1,
};

pub(crate) const ERASURE: Table = Table {
    name: "request",
    columns: &[
        "number",
        "id",
        "kind",
        "keyspace_id",
        "accepted_at_ms",
        "leases_end_at_ms",
        "tag",
        "commitment",
        "leaves",
        "keyspace_name",
        "version",
    ],
    key: 1,
};

pub(crate) const BUCKET: Table = Table {
    name: "bucket",
    columns: &["expiry_s", "hsm_key_id", "iv", "ciphertext"],
    key: 1,
};

pub(crate) const SIGNING_KEY: Table = Table {
    name: "signing_key",
    columns: &[
        "number",
        "id",
        "purpose",
        "public_key",
        "predecessor",
        "endorsement",
    ],
    key: 1,
};

pub(crate) const HSM_MOVE: Table = Table {
    name: "hsm_move",
    columns: &["row_id", "emptied"],
    key: 1,
};

/// Those of which all rows are looked at when the key becomes known: they were used before.
const USED_BEFORE: [&Table; 3] = [&DEPLOYMENT, &SIGNING_KEY, &HSM_MOVE];
/// All.
const ALL: [&Table; 5] = [&DEPLOYMENT, &ERASURE, &BUCKET, &SIGNING_KEY, &HSM_MOVE];

/// Rows that get their first MAC in one statement's turn.
const AT_ONCE: usize = 500;

/// The key, once it is known, and the first row that was found altered.
#[derive(Debug, Default)]
pub(crate) struct Authenticity {
    key: OnceLock<DeploymentKey>,
    altered: OnceLock<String>,
}

impl Authenticity {
    /// From now on every row is checked. The same key again changes nothing.
    pub(crate) fn begin(&self, key: DeploymentKey) {
        // A deployment has one key.
        let _ = self.key.set(key);
    }

    pub(crate) fn altered(&self) -> Option<&str> {
        self.altered.get().map(String::as_str)
    }

    /// None before the key is known.
    pub(crate) fn mac(&self, table: &Table, columns: &[Column<'_>]) -> Option<RowMac> {
        debug_assert_eq!(columns.len(), table.columns.len());
        Some(self.key.get()?.row_mac(table.name, columns))
    }

    /// Whether a row, read with all columns of its table and `mac`, is as it was written.
    pub(crate) fn check(&self, table: &Table, row: &SqliteRow) -> Result<(), StoreError> {
        let Some(key) = self.key.get() else {
            return Ok(());
        };
        let values = values(table, row)?;
        let mac: Option<Vec<u8>> = row.try_get("mac").map_err(|_| corrupt(table))?;
        let columns: Vec<_> = values.iter().map(Value::column).collect();
        if key.is_authentic(table.name, &columns, &mac.unwrap_or_default()) {
            return Ok(());
        }
        Err(self.report(row_name(table, &values)))
    }

    /// Remembers the first, for whoever has to stop because of it.
    pub(crate) fn report(&self, row: String) -> StoreError {
        StoreError::Altered(self.altered.get_or_init(|| row).clone())
    }

    /// All rows that were used before the key was known.
    pub(crate) async fn check_used(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        for table in USED_BEFORE {
            self.check_where(connection, table, "true").await?;
        }
        Ok(())
    }

    /// Rows that are about to be changed: a new MAC must not bless what somebody else wrote.
    pub(crate) async fn check_where(
        &self,
        connection: &mut SqliteConnection,
        table: &Table,
        condition: &str,
    ) -> Result<(), StoreError> {
        if self.key.get().is_none() {
            return Ok(());
        }
        for row in select(connection, table, condition).await? {
            self.check(table, &row)?;
        }
        Ok(())
    }

    /// MACs of rows that this transaction wrote.
    pub(crate) async fn seal_where(
        &self,
        connection: &mut SqliteConnection,
        table: &Table,
        condition: &str,
    ) -> Result<(), StoreError> {
        match self.key.get() {
            None => Ok(()),
            Some(key) => seal(connection, key, table, condition).await.map(drop),
        }
    }
}

/// Every row gets its MAC, whatever stands there: once in the life of a deployment.
pub(crate) async fn seal_all(
    connection: &mut SqliteConnection,
    key: &DeploymentKey,
) -> Result<(), StoreError> {
    for table in ALL {
        let clear = format!("UPDATE {} SET mac = NULL WHERE mac IS NOT NULL", table.name);
        let cleared = sqlx::raw_sql(AssertSqlSafe(clear)).execute(&mut *connection);
        cleared.await.map_err(during("begin MACs"))?;
        let some = format!("mac IS NULL LIMIT {AT_ONCE}");
        while seal(connection, key, table, &some).await? > 0 {}
    }
    Ok(())
}

async fn seal(
    connection: &mut SqliteConnection,
    key: &DeploymentKey,
    table: &Table,
    condition: &str,
) -> Result<usize, StoreError> {
    let rows = select(connection, table, condition).await?;
    let names = &table.columns[..table.key];
    let named: Vec<_> = names.iter().map(|name| format!("{name} = ?")).collect();
    let update = format!(
        "UPDATE {} SET mac = ? WHERE {}",
        table.name,
        named.join(" AND ")
    );
    for row in &rows {
        let values = values(table, row)?;
        let columns: Vec<_> = values.iter().map(Value::column).collect();
        let mac = key.row_mac(table.name, &columns);
        let mut query = sqlx::query(AssertSqlSafe(update.clone())).bind(mac.to_vec());
        for value in &values[..table.key] {
            query = match value {
                Value::Null => query.bind(None::<i64>),
                Value::Integer(number) => query.bind(*number),
                Value::Text(text) => query.bind(text.clone()),
                Value::Blob(bytes) => query.bind(bytes.clone()),
            };
        }
        let written = query.execute(&mut *connection).await;
        written.map_err(during("write a MAC"))?;
    }
    Ok(rows.len())
}

async fn select(
    connection: &mut SqliteConnection,
    table: &Table,
    condition: &str,
) -> Result<Vec<SqliteRow>, StoreError> {
    let columns = table.columns.join(", ");
    let query = format!(
        "SELECT {columns}, mac FROM {} WHERE {condition}",
        table.name
    );
    let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(connection);
    rows.await.map_err(during("read rows with their MACs"))
}

/// A column as SQLite has it.
enum Value {
    Null,
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
}

impl Value {
    fn column(&self) -> Column<'_> {
        match self {
            Self::Null => Column::Null,
            Self::Integer(number) => Column::Integer(*number),
            Self::Text(text) => Column::Text(text),
            Self::Blob(bytes) => Column::Blob(bytes),
        }
    }
}

fn values(table: &Table, row: &SqliteRow) -> Result<Vec<Value>, StoreError> {
    let columns = table.columns.iter();
    let value = |name: &&str| value(row, name).map_err(|_| corrupt(table));
    columns.map(value).collect()
}

fn value(row: &SqliteRow, name: &str) -> Result<Value, sqlx::Error> {
    let raw = row.try_get_raw(name)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let kind = raw.type_info().name().to_owned();
    Ok(match kind.as_str() {
        "TEXT" => Value::Text(row.try_get(name)?),
        "BLOB" => Value::Blob(row.try_get(name)?),
        _ => Value::Integer(row.try_get(name)?),
    })
}

fn corrupt(table: &Table) -> StoreError {
    StoreError::Corrupt(format!("{}: a column", table.name))
}

/// The table, and what names the row in it.
fn row_name(table: &Table, values: &[Value]) -> String {
    let mut name = table.name.to_owned();
    for value in &values[..table.key] {
        name.push(' ');
        name.push_str(&match value {
            Value::Null => "null".to_owned(),
            Value::Integer(number) => number.to_string(),
            Value::Text(text) => text.escape_debug().to_string(),
            Value::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        });
    }
    name
}
