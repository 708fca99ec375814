//! Statements that both databases take: parameters are `$1`, `$2`.

use async_trait::async_trait;
use lethe_core::ports::StoreError;

use crate::row::StoredRow;

/// A parameter, or NULL in its place.
#[derive(Debug, Clone)]
pub enum Bind {
    /// A whole number.
    Integer(Option<i64>),
    /// Bytes.
    Bytes(Option<Vec<u8>>),
    /// UTF-8.
    Text(Option<String>),
}

impl From<i64> for Bind {
    fn from(number: i64) -> Self {
        Self::Integer(Some(number))
    }
}

impl From<Option<i64>> for Bind {
    fn from(number: Option<i64>) -> Self {
        Self::Integer(number)
    }
}

impl From<&[u8]> for Bind {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Some(bytes.to_vec()))
    }
}

impl<const LENGTH: usize> From<&[u8; LENGTH]> for Bind {
    fn from(bytes: &[u8; LENGTH]) -> Self {
        Self::Bytes(Some(bytes.to_vec()))
    }
}

impl From<Option<Vec<u8>>> for Bind {
    fn from(bytes: Option<Vec<u8>>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&str> for Bind {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

/// A connection to a database, in a transaction of its caller.
#[async_trait]
pub trait Connection: Send {
    /// Its rows.
    type Row: StoredRow + Send + Sync;

    /// Stands behind a SELECT whose row is changed afterwards: locks it, where nothing else does.
    const FOR_UPDATE: &'static str;

    /// The rows of a query. Errors say by the name what was being done.
    async fn rows(
        &mut self,
        name: &'static str,
        statement: &str,
        binds: Vec<Bind>,
    ) -> Result<Vec<Self::Row>, StoreError>;

    /// How many rows a statement changed.
    async fn execute(
        &mut self,
        name: &'static str,
        statement: &str,
        binds: Vec<Bind>,
    ) -> Result<u64, StoreError>;

    /// A statement that has to change one row.
    async fn execute_one(
        &mut self,
        name: &'static str,
        statement: &str,
        binds: Vec<Bind>,
        otherwise: &'static str,
    ) -> Result<(), StoreError> {
        match self.execute(name, statement, binds).await? {
            1 => Ok(()),
            _ => Err(StoreError::Conflict(otherwise)),
        }
    }
}
