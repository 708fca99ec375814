use base64ct::{Base64, Encoding};
use lethe_core::approval::{Action, Approval, ApprovalState, DigestKey, End, Principal, Void};
use lethe_core::duration::Span;
use lethe_core::keyspace::Policy;
use lethe_core::receipt::ErasureId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::times::Rfc3339;

/// An action that waits for a second operator, or waited for one.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApprovalView {
    /// The approval's id.
    #[schema(format = "uuid")]
    id: String,
    /// `approval_required`, `approved`, `expired`, `withdrawn` or `void`: what it was for could not be
    /// done any more.
    state: &'static str,
    /// `shred`, `keyspace_erase`, `version_drop`, `minimum_version`, `keyspace_settings`,
    /// `clock_confirmation` or `hsm_move`.
    kind: &'static str,
    /// The keyspace's name; none where it concerns the whole deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    keyspace: Option<String>,
    /// Number of conversations of a shred.
    #[serde(skip_serializing_if = "Option::is_none")]
    conversations: Option<u32>,
    /// The key version: of a drop, the one that is dropped; of a minimum version, the oldest one that
    /// still opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    /// For a change of settings: the settings when it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    settings_before: Option<SettingsView>,
    /// For a change of settings: the new settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<SettingsView>,
    /// The reason that the client gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// For a shred: a digest of its list of conversations, base64. An operator compares it with an own
    /// list.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// The key of the digest, base64; absent in lists of approvals.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest_key: Option<String>,
    /// SPIFFE id of the client that asked.
    asked_by: String,
    /// When the client asked.
    #[schema(value_type = String, format = "date-time")]
    asked_at: Rfc3339,
    /// Until when it can be approved.
    #[schema(value_type = String, format = "date-time")]
    expires_at: Rfc3339,
    /// SPIFFE id of the operator that approved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    approved_by: Option<String>,
    /// When it was approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    approved_at: Option<Rfc3339>,
    /// SPIFFE id of the client that withdrew it.
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawn_by: Option<String>,
    /// When it was withdrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    withdrawn_at: Option<Rfc3339>,
    /// Why it is void: `keyspace_gone`, `asker_gone` (the client that asked may not do it any more) or
    /// `outdated` (what it was for has changed).
    #[serde(skip_serializing_if = "Option::is_none")]
    why_void: Option<&'static str>,
    /// If it is void because its keyspace was erased: the id of that erase, which destroys what the
    /// approval was for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "uuid")]
    covered_by: Option<String>,
}

/// Settings of a keyspace.
#[derive(Serialize, ToSchema)]
pub(crate) struct SettingsView {
    /// How long messages live at least.
    retention: String,
    /// Width of a bucket.
    granularity: String,
    /// Age at which a key version is replaced.
    rotation: String,
    /// How long a client may keep a plaintext data key.
    cache_ttl: String,
    /// Shorter retentions that an issue may choose.
    retentions: Vec<String>,
}

impl From<&Policy> for SettingsView {
    fn from(policy: &Policy) -> Self {
        Self {
            retention: Span::from_seconds(policy.retention_seconds()).to_string(),
            granularity: Span::from_seconds(policy.granularity_seconds()).to_string(),
            rotation: policy.rotation().to_string(),
            cache_ttl: policy.cache_ttl().to_string(),
            retentions: policy
                .shorter_retentions()
                .map(|it| Span::from_seconds(it.as_seconds()).to_string())
                .collect(),
        }
    }
}

impl ApprovalView {
    /// Adds the key of the digest.
    pub(crate) fn with_digest_key(mut self, key: Option<DigestKey>) -> Self {
        self.digest_key = key.map(|key| Base64::encode_string(key.as_bytes()));
        self
    }

    pub(crate) fn new(approval: &Approval, covered_by: Option<ErasureId>) -> Self {
        let (kind, conversations, version) = match approval.action {
            Action::Shred { conversations, .. } => ("shred", Some(conversations), None),
            Action::EraseKeyspace => ("keyspace_erase", None, None),
            Action::DropVersion(version) => ("version_drop", None, Some(version.number())),
            Action::SetMinimum(version) => ("minimum_version", None, Some(version.number())),
            Action::SetPolicy { .. } => ("keyspace_settings", None, None),
            Action::ConfirmClock => ("clock_confirmation", None, None),
            Action::MoveHsm => ("hsm_move", None, None),
        };
        let (before, after) = match approval.action {
            Action::SetPolicy { from, to } => (Some((&from).into()), Some((&to).into())),
            _ => (None, None),
        };
        let client = |principal: &Principal| principal.client.to_string();
        let withdrawn = approval.state == ApprovalState::Ended(End::Withdrawn);
        let decision = approval.decision.as_ref();
        let approved = decision.filter(|_| !withdrawn);
        let withdrawal = decision.filter(|_| withdrawn);
        Self {
            id: approval.id.to_string(),
            state: match approval.state {
                ApprovalState::Waiting => "approval_required",
                ApprovalState::Approved => "approved",
                ApprovalState::Ended(End::Expired) => "expired",
                ApprovalState::Ended(End::Void(_)) => "void",
                ApprovalState::Ended(End::Withdrawn) => "withdrawn",
            },
            kind,
            keyspace: approval.keyspace_name().map(ToString::to_string),
            conversations,
            version,
            settings_before: before,
            settings: after,
            reason: approval.reason.as_deref().map(str::to_owned),
            digest: approval.digest.map(|it| Base64::encode_string(&it)),
            digest_key: None,
            asked_by: client(&approval.asked_by),
            asked_at: Rfc3339(approval.asked_at),
            expires_at: Rfc3339(approval.expires_at),
            approved_by: approved.map(|it| client(&it.by)),
            approved_at: approved.map(|it| Rfc3339(it.at)),
            withdrawn_by: withdrawal.map(|it| client(&it.by)),
            withdrawn_at: withdrawal.map(|it| Rfc3339(it.at)),
            why_void: match approval.state {
                ApprovalState::Ended(End::Void(why)) => Some(match why {
                    Void::KeyspaceGone => "keyspace_gone",
                    Void::AskerGone => "asker_gone",
                    Void::Outdated => "outdated",
                }),
                _ => None,
            },
            covered_by: covered_by.map(|id| id.to_string()),
        }
    }
}
