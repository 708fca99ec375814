//! Audit records of approvals. The caller that changed an approval writes its record; if it crashes, the sweep
//! writes it.

use lethe_core::approval::{Approval, ApprovalState, End};
use lethe_core::audit::{Event, Record};

use super::Approvals;

/// Logs, counts and records a change that is in the store. If the record fails, the sweep tries again.
pub(super) async fn changed(approvals: &Approvals, approval: &Approval) {
    let (outcome, text) = match approval.state {
        ApprovalState::Waiting => return,
        ApprovalState::Approved => ("approved", "a second operator has approved"),
        ApprovalState::Ended(End::Expired) => ("expired", "an approval has expired"),
        ApprovalState::Ended(End::Withdrawn) => ("withdrawn", "an approval was withdrawn"),
        ApprovalState::Ended(End::Void(_)) => (
            "void",
            "an approval is void: what it was for cannot be done any more",
        ),
    };
    approvals.metrics.approval(outcome);
    let client = approval.decision.as_ref().map(|it| &*it.by.client);
    let keyspace = approval.keyspace_name().map(ToString::to_string);
    tracing::warn!(approval = %approval.id, keyspace, client, "{text}");
    record(approvals, approval).await;
}

/// Writes the audit record, and then marks the approval as recorded. So the record is there at least once.
pub(super) async fn record(approvals: &Approvals, approval: &Approval) {
    let store = &approvals.store;
    let recorded = async {
        let erasures = store.approval_erasures(approval.id).await;
        let erasures = erasures.map_err(|error| error.to_string())?;
        let line = line(approvals, approval, &approval.with_erasures(&erasures));
        let appended = approvals.audit.append(line).await;
        appended.map_err(|error| error.to_string())?;
        let recorded = store.approval_is_recorded(approval.id).await;
        recorded.map_err(|error| error.to_string())
    };
    if let Err(error) = recorded.await {
        tracing::warn!(approval = %approval.id, error, "the end of an approval is not in the audit log yet");
    }
}

fn line(
    approvals: &Approvals,
    approval: &Approval,
    requests: &[lethe_core::receipt::ErasureId],
) -> Record {
    let id = approval.id.to_string();
    let asked_by = &approval.asked_by.client;
    let decision = approval.decision.as_ref();
    let event = Event {
        time: approvals.node.now(),
        request: &id,
        client: decision.map_or(asked_by, |it| &it.by.client),
        operation: match approval.state {
            ApprovalState::Waiting | ApprovalState::Approved => "carry_out_approval",
            ApprovalState::Ended(End::Expired) => "expire_approval",
            ApprovalState::Ended(End::Withdrawn) => "take_back_approval",
            ApprovalState::Ended(End::Void(_)) => "void_approval",
        },
        keyspace: approval.keyspace_name(),
        outcome: "ok",
        keys: &[],
        refused: 0,
        requests,
        reason: approval.reason.as_deref(),
    };
    match decision {
        Some(_) => Record::answering(&event, asked_by),
        None => Record::new(&event),
    }
}
