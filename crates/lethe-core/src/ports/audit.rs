use async_trait::async_trait;

use crate::audit::Record;

/// The record could not be made durable; no key may leave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written: {0}")]
pub struct AuditError(pub String);

/// The audit log. It has the record of a key before the key leaves (`docs/design.md#p4`).
#[async_trait]
pub trait AuditSink: Send + Sync {
    /// Returns when the record is on the disk. A call that is dropped may still write it.
    async fn append(&self, record: Record) -> Result<(), AuditError>;

    /// Whether records can be written now.
    fn check(&self) -> Result<(), AuditError>;

    /// How often records could not be written any more, since the start.
    fn failures(&self) -> u64;
}
