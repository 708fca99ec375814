//! Columns of a row, whichever database it is from.

use lethe_core::deployment_key::Column;
use lethe_core::ports::StoreError;
use sqlx::{ColumnIndex, Decode, Row, Type, TypeInfo, ValueRef};

/// A column as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// No value.
    Null,
    /// A whole number.
    Integer(i64),
    /// UTF-8.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Value {
    /// As it is authenticated.
    #[must_use]
    pub fn column(&self) -> Column<'_> {
        match self {
            Self::Null => Column::Null,
            Self::Integer(number) => Column::Integer(*number),
            Self::Text(text) => Column::Text(text),
            Self::Blob(bytes) => Column::Blob(bytes),
        }
    }
}

/// A row that a statement returned.
pub trait StoredRow {
    /// A column by its name; none if there is no such column, or it has a type that no store uses.
    fn value(&self, column: &str) -> Option<Value>;
}

impl<R> StoredRow for R
where
    R: Row,
    for<'c> &'c str: ColumnIndex<R>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Vec<u8>: Decode<'r, R::Database> + Type<R::Database>,
{
    fn value(&self, column: &str) -> Option<Value> {
        let raw = self.try_get_raw(column).ok()?;
        if raw.is_null() {
            return Some(Value::Null);
        }
        let kind = raw.type_info().name().to_owned();
        match kind.as_str() {
            "INTEGER" | "INT8" => self.try_get(column).ok().map(Value::Integer),
            "TEXT" => self.try_get(column).ok().map(Value::Text),
            "BLOB" | "BYTEA" => self.try_get(column).ok().map(Value::Blob),
            _ => None,
        }
    }
}

/// The databases' integers are signed; a number beyond them would come back as another.
///
/// # Errors
/// [`StoreError::Corrupt`] with the column.
pub fn signed(number: u64, column: &str) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Corrupt(format!("{column} cannot hold {number}")))
}
