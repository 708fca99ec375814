use lethe_core::approval::{Act, Approval, ApprovalState, Voice};
use lethe_core::receipt::RequestId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::times::Rfc3339;

/// What waits for a second operator, or waited.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApprovalView {
    /// What it is called.
    #[schema(format = "uuid")]
    id: String,
    /// `approval_required`, `approved`, `expired`, `withdrawn`, or `void`: it could not be done any
    /// more.
    state: &'static str,
    /// `shred`, `keyspace_erase`, `version_drop` or `minimum_version`.
    kind: &'static str,
    /// The keyspace's name.
    keyspace: String,
    /// How many, of a shred.
    #[serde(skip_serializing_if = "Option::is_none")]
    conversations: Option<u32>,
    /// Which, of a drop; the oldest that is not refused, of a minimum version.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    /// SPIFFE id of who asked.
    asked_by: String,
    /// When that was.
    #[schema(value_type = String, format = "date-time")]
    asked_at: Rfc3339,
    /// Until when the second word counts.
    #[schema(value_type = String, format = "date-time")]
    expires_at: Rfc3339,
    /// SPIFFE id of who approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    approved_by: Option<String>,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    approved_at: Option<Rfc3339>,
    /// SPIFFE id of who withdrew it.
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawn_by: Option<String>,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    withdrawn_at: Option<Rfc3339>,
    /// Of one that is void since its keyspace was erased: that request. What it was for goes with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "uuid")]
    covered_by: Option<String>,
}

impl ApprovalView {
    pub(crate) fn new(approval: &Approval, covered_by: Option<RequestId>) -> Self {
        let (kind, conversations, version) = match approval.act {
            Act::Shred { conversations, .. } => ("shred", Some(conversations), None),
            Act::EraseKeyspace => ("keyspace_erase", None, None),
            Act::DropVersion(version) => ("version_drop", None, Some(version.number())),
            Act::RaiseMinimum(version) => ("minimum_version", None, Some(version.number())),
        };
        let client = |voice: &Voice| voice.client.to_string();
        let withdrawn = approval.state == ApprovalState::Withdrawn;
        let last_word = approval.second.as_ref();
        let second = last_word.filter(|_| !withdrawn);
        let withdrawal = last_word.filter(|_| withdrawn);
        Self {
            id: approval.id.to_string(),
            state: match approval.state {
                ApprovalState::Waiting => "approval_required",
                ApprovalState::Given | ApprovalState::Done => "approved",
                ApprovalState::Expired => "expired",
                ApprovalState::Void => "void",
                ApprovalState::Withdrawn => "withdrawn",
            },
            kind,
            keyspace: approval.keyspace_name.to_string(),
            conversations,
            version,
            asked_by: client(&approval.asked_by),
            asked_at: Rfc3339(approval.asked_at),
            expires_at: Rfc3339(approval.expires_at),
            approved_by: second.map(|second| client(&second.by)),
            approved_at: second.map(|second| Rfc3339(second.at)),
            withdrawn_by: withdrawal.map(|word| client(&word.by)),
            withdrawn_at: withdrawal.map(|word| Rfc3339(word.at)),
            covered_by: covered_by.map(|id| id.to_string()),
        }
    }
}
