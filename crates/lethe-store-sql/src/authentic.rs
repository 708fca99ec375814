//! MACs of rows: who writes to the database, and does not have the key in the directory, can neither
//! make up a row nor change one unnoticed. Which columns count, and in which order, is in
//! `docs/FORMATS.md`.

use std::sync::OnceLock;

use lethe_core::deployment_key::{Column, DeploymentKey, RowMac};
use lethe_core::ports::StoreError;

use crate::row::{StoredRow, Value};
use crate::statements::{Bind, Connection};

/// A table whose rows are authenticated.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// In the order in which they are authenticated; the first ones name the row, and are numbers.
    pub columns: &'static [&'static str],
    /// How many of them name the row.
    pub key: usize,
}

/// The clock's mark and the deployment's id.
pub const DEPLOYMENT: Table = Table {
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

/// Accepted erasures.
pub const ERASURE: Table = Table {
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

/// The signing keys that are published.
pub const SIGNING_KEY: Table = Table {
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

/// The move to another HSM.
pub const HSM_MOVE: Table = Table {
    name: "hsm_move",
    columns: &["row_id", "emptied"],
    key: 1,
};

/// Those of which all rows are looked at when the key becomes known: they were used before.
const USED_BEFORE: [&Table; 3] = [&DEPLOYMENT, &SIGNING_KEY, &HSM_MOVE];

/// Rows that get their first MAC in one statement's turn.
const AT_ONCE: usize = 500;

/// What errors say.
const WRITE: &str = "write a MAC";

/// The key, once it is known, and the first row that was found altered.
#[derive(Debug, Default)]
pub struct Authenticity {
    key: OnceLock<DeploymentKey>,
    altered: OnceLock<String>,
}

impl Authenticity {
    /// From now on every row is checked. The same key again changes nothing.
    pub fn begin(&self, key: DeploymentKey) {
        // A deployment has one key.
        let _ = self.key.set(key);
    }

    /// The first row that was found altered.
    #[must_use]
    pub fn altered(&self) -> Option<&str> {
        self.altered.get().map(String::as_str)
    }

    /// None before the key is known.
    #[must_use]
    pub fn mac(&self, table: &Table, columns: &[Column<'_>]) -> Option<RowMac> {
        debug_assert_eq!(columns.len(), table.columns.len());
        Some(self.key.get()?.row_mac(table.name, columns))
    }

    /// Whether a row, read with all columns of its table and `mac`, is as it was written.
    ///
    /// # Errors
    /// [`StoreError::Altered`] if not.
    pub fn check(&self, table: &Table, row: &impl StoredRow) -> Result<(), StoreError> {
        let Some(key) = self.key.get() else {
            return Ok(());
        };
        let values = values(table, row)?;
        let mac = match row.value("mac") {
            Some(Value::Blob(mac)) => mac,
            Some(Value::Null) => Vec::new(),
            _ => return Err(corrupt(table)),
        };
        let columns: Vec<_> = values.iter().map(Value::column).collect();
        if key.is_authentic(table.name, &columns, &mac) {
            return Ok(());
        }
        Err(self.report(row_name(table, &values)))
    }

    /// Remembers the first, for whoever has to stop because of it.
    fn report(&self, row: String) -> StoreError {
        StoreError::Altered(self.altered.get_or_init(|| row).clone())
    }

    /// All rows that were used before the key was known.
    ///
    /// # Errors
    /// [`StoreError::Altered`], and those of the store.
    pub async fn check_used(&self, db: &mut impl Connection) -> Result<(), StoreError> {
        for table in USED_BEFORE {
            self.check_all(db, table).await?;
        }
        Ok(())
    }

    /// Rows of a table that are about to be changed: a new MAC must not bless what somebody else wrote.
    ///
    /// # Errors
    /// As [`Self::check_used`].
    pub async fn check_all(
        &self,
        db: &mut impl Connection,
        table: &Table,
    ) -> Result<(), StoreError> {
        if self.key.get().is_none() {
            return Ok(());
        }
        for row in select(db, table, "true").await? {
            self.check(table, &row)?;
        }
        Ok(())
    }

    /// MACs of a table of which this transaction has checked or written every row.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn seal(&self, db: &mut impl Connection, table: &Table) -> Result<(), StoreError> {
        match self.key.get() {
            None => Ok(()),
            Some(key) => seal(db, key, table, "true").await.map(drop),
        }
    }
}

/// Every row of these tables gets its MAC, whatever stands there: once in the life of a deployment.
///
/// # Errors
/// Those of the store.
pub async fn seal_all(
    db: &mut impl Connection,
    key: &DeploymentKey,
    tables: &[&Table],
) -> Result<(), StoreError> {
    for table in tables {
        let clear = format!("UPDATE {} SET mac = $1 WHERE mac IS NOT NULL", table.name);
        db.execute(WRITE, &clear, vec![Bind::Bytes(None)]).await?;
        let some = format!("mac IS NULL LIMIT {AT_ONCE}");
        while seal(db, key, table, &some).await? > 0 {}
    }
    Ok(())
}

async fn seal(
    db: &mut impl Connection,
    key: &DeploymentKey,
    table: &Table,
    condition: &str,
) -> Result<usize, StoreError> {
    let found = select(db, table, condition).await?;
    let names = table.columns[..table.key].iter().zip(2..);
    let named: Vec<_> = names
        .map(|(name, place)| format!("{name} = ${place}"))
        .collect();
    let update = format!(
        "UPDATE {} SET mac = $1 WHERE {}",
        table.name,
        named.join(" AND ")
    );
    for row in &found {
        let values = values(table, row)?;
        let columns: Vec<_> = values.iter().map(Value::column).collect();
        let mac = key.row_mac(table.name, &columns);
        let number = |value: &Value| match value {
            Value::Integer(number) => Ok(*number),
            _ => Err(corrupt(table)),
        };
        let mut binds = vec![Bind::Bytes(Some(mac.to_vec()))];
        for value in &values[..table.key] {
            binds.push(number(value)?.into());
        }
        db.execute(WRITE, &update, binds).await?;
    }
    Ok(found.len())
}

async fn select<R: Connection>(
    db: &mut R,
    table: &Table,
    condition: &str,
) -> Result<Vec<R::Row>, StoreError> {
    let columns = table.columns.join(", ");
    let query = format!(
        "SELECT {columns}, mac FROM {} WHERE {condition}",
        table.name
    );
    db.rows("read rows with their MACs", &query, vec![]).await
}

fn values(table: &Table, row: &impl StoredRow) -> Result<Vec<Value>, StoreError> {
    let columns = table.columns.iter();
    let value = |name: &&str| row.value(name).ok_or_else(|| corrupt(table));
    columns.map(value).collect()
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
            Value::Integer(number) => number.to_string(),
            other => format!("{other:?}"),
        });
    }
    name
}
