use lethe_core::approval::Principal;
use lethe_core::identity::HsmKeyId;
use lethe_core::keyspace::{KeyVersion, KeyspaceName};
use lethe_core::ports::StoreError;
use lethe_core::time::Timestamp;

use crate::row::{StoredRow, Value};

/// A row and the table that errors name.
#[derive(Clone, Copy)]
pub(super) struct Source<'r> {
    row: &'r dyn StoredRow,
    table: &'static str,
}

impl<'r> Source<'r> {
    pub(super) fn new(row: &'r dyn StoredRow, table: &'static str) -> Self {
        Self { row, table }
    }

    pub(super) fn corrupt(&self, column: &str) -> StoreError {
        StoreError::Corrupt(format!("{}.{column}", self.table))
    }

    fn value(&self, column: &str) -> Result<Value, StoreError> {
        self.row.value(column).ok_or_else(|| self.corrupt(column))
    }

    pub(super) fn optional_blob(&self, column: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Blob(bytes) => Ok(Some(bytes)),
            _ => Err(self.corrupt(column)),
        }
    }

    pub(super) fn blob(&self, column: &str) -> Result<Vec<u8>, StoreError> {
        self.optional_blob(column)?
            .ok_or_else(|| self.corrupt(column))
    }

    pub(super) fn optional_bytes<const N: usize>(
        &self,
        column: &str,
    ) -> Result<Option<[u8; N]>, StoreError> {
        self.optional_blob(column)?
            .map(|bytes| bytes.try_into().map_err(|_| self.corrupt(column)))
            .transpose()
    }

    pub(super) fn bytes<const N: usize>(&self, column: &str) -> Result<[u8; N], StoreError> {
        self.optional_bytes(column)?
            .ok_or_else(|| self.corrupt(column))
    }

    pub(super) fn optional_number(&self, column: &str) -> Result<Option<u64>, StoreError> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Integer(number) => u64::try_from(number)
                .map(Some)
                .map_err(|_| self.corrupt(column)),
            _ => Err(self.corrupt(column)),
        }
    }

    pub(super) fn number(&self, column: &str) -> Result<u64, StoreError> {
        self.optional_number(column)?
            .ok_or_else(|| self.corrupt(column))
    }

    pub(super) fn optional_text(&self, column: &str) -> Result<Option<String>, StoreError> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            _ => Err(self.corrupt(column)),
        }
    }

    pub(super) fn text(&self, column: &str) -> Result<String, StoreError> {
        self.optional_text(column)?
            .ok_or_else(|| self.corrupt(column))
    }

    pub(super) fn principal(&self, column: &str, key: [u8; 32]) -> Result<Principal, StoreError> {
        Ok(Principal {
            client: self.text(column)?.into(),
            key,
        })
    }

    pub(super) fn optional_time(&self, column: &str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.optional_number(column)?.map(Timestamp::from_millis))
    }

    pub(super) fn time(&self, column: &str) -> Result<Timestamp, StoreError> {
        self.number(column).map(Timestamp::from_millis)
    }

    pub(super) fn key(&self, column: &str) -> Result<HsmKeyId, StoreError> {
        self.bytes(column).map(HsmKeyId::from_bytes)
    }

    pub(super) fn version(&self, column: &str) -> Result<KeyVersion, StoreError> {
        let number = u32::try_from(self.number(column)?).map_err(|_| self.corrupt(column))?;
        KeyVersion::new(number).ok_or_else(|| self.corrupt(column))
    }

    pub(super) fn name(&self, column: &str) -> Result<KeyspaceName, StoreError> {
        self.text(column)?.parse().map_err(|_| self.corrupt(column))
    }
}
