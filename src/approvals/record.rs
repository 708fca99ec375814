use lethe_core::approval::{Approval, SecondWord};
use lethe_core::audit::{Event, Record};
use lethe_core::ports::AuditError;
use lethe_core::request::Request;

use crate::service::Service;

/// Puts on record what is about to become of an approval; `word` where somebody says so.
pub(super) async fn record(
    service: &Service,
    approval: &Approval,
    requests: &[Request],
    operation: &'static str,
    word: Option<&SecondWord>,
) -> Result<(), AuditError> {
    let id = approval.id.to_string();
    let asked_by = &approval.asked_by.client;
    let event = Event {
        time: service.now(),
        request: &id,
        client: word.map_or(asked_by, |word| &word.by.client),
        operation,
        keyspace: Some(&approval.keyspace_name),
        outcome: "ok",
        keys: &[],
        refused: 0,
        requests: &approval.with_requests(requests),
    };
    let record = match word {
        Some(_) => Record::answering(&event, asked_by),
        None => Record::new(&event),
    };
    service.audit.append(record).await
}
