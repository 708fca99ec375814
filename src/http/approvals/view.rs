use lethe_core::approval::{Act, Approval, ApprovalState, Voice};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::times::Rfc3339;

/// What waits for a second operator, or waited.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApprovalView {
    #[schema(format = "uuid")]
    id: String,
    /// `approval_required`, `approved`, `expired`, or `void`: it could not be done any more.
    state: &'static str,
    /// `shred`, `keyspace_erase` or `version_drop`.
    kind: &'static str,
    keyspace: String,
    /// How many, of a shred.
    #[serde(skip_serializing_if = "Option::is_none")]
    conversations: Option<u32>,
    /// Which, of a drop.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    /// SPIFFE id.
    asked_by: String,
    #[schema(value_type = String, format = "date-time")]
    asked_at: Rfc3339,
    /// Until when the second word counts.
    #[schema(value_type = String, format = "date-time")]
    expires_at: Rfc3339,
    /// SPIFFE id.
    #[serde(skip_serializing_if = "Option::is_none")]
    approved_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    approved_at: Option<Rfc3339>,
}

impl ApprovalView {
    pub(crate) fn new(approval: &Approval) -> Self {
        let (kind, conversations, version) = match approval.act {
            Act::Shred { conversations, .. } => ("shred", Some(conversations), None),
            Act::EraseKeyspace => ("keyspace_erase", None, None),
            Act::DropVersion(version) => ("version_drop", None, Some(version.number())),
        };
        let client = |voice: &Voice| voice.client.to_string();
        let second = approval.second.as_ref();
        Self {
            id: approval.id.to_string(),
            state: match approval.state {
                ApprovalState::Waiting => "approval_required",
                ApprovalState::Given | ApprovalState::Done => "approved",
                ApprovalState::Expired => "expired",
                ApprovalState::Void => "void",
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
        }
    }
}
