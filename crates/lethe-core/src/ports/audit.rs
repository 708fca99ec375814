use async_trait::async_trait;

use crate::audit::Record;

/// The record could not be made durable; no key may leave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written: {0}")]
pub struct AuditError(pub String);

/// Where records go before a key leaves (`docs/design.md#p4`).
#[async_trait]
pub trait AuditSink: Send + Sync {
    /// Answers when the record is on the disk. A call that is dropped half-way may still write it.
    async fn append(&self, record: Record) -> Result<(), AuditError>;

    /// Whether records can be written now; for readiness.
    fn check(&self) -> Result<(), AuditError>;

    /// How often that ended, since the start.
    fn failures(&self) -> u64;
}
