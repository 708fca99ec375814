//! What bodies look like, from the types that parse and write them where there is one.

use serde_json::{Value, json};
use utoipa::PartialSchema;

use super::reference;
use crate::http::approvals::ApprovalView;
use crate::http::data_keys::{IssueItem, RewrapItem, UnwrapItem};
use crate::http::keyspaces::{KeyspaceView, PutBody, UsesView, VersionView};
use crate::http::shreds::ShredItem;
use crate::http::status::{
    BucketsStatus, ClientUses, HsmDeviceStatus, KeyVersionStatus, KeyspaceStatus, NodeStatus,
    StatusAnswer,
};
use crate::http::verification_keys::VerificationKeyView;

/// All of them.
pub(super) fn schemas() -> Value {
    let time = json!({ "type": "string", "format": "date-time" });
    let text = json!({ "type": "string" });
    let version = json!({ "type": "integer", "minimum": 1 });
    json!({
        "Issue": IssueItem::schema(),
        "Unwrap": UnwrapItem::schema(),
        "Rewrap": RewrapItem::schema(),
        "RewrapAnswer": { "type": "object",
            "required": ["conversation", "wrapped_key", "version", "expires_at"],
            "properties": { "conversation": text, "wrapped_key": text, "version": version, "expires_at": time } },
        "Shred": ShredItem::schema(),
        "ForgetAnswer": { "type": "object", "required": ["id", "state"],
            "properties": { "id": { "type": "string", "format": "uuid" }, "state": { "enum": ["accepted", "destroyed", "approval_required"] },
                "approval": { "type": "string", "format": "uuid" },
                "accepted_at": time, "destroyed_at": time, "leases_end_at": time,
                "receipt": { "type": "object" }, "opening": { "type": "object" } } },
        "Approval": ApprovalView::schema(),
        "Approvals": { "type": "object", "required": ["approvals"], "properties": {
            "approvals": { "type": "array", "items": reference("Approval") }, "next": { "type": "string", "format": "uuid" } } },
        "ApprovalRequired": { "allOf": [reference("Approval"), { "type": "object", "required": ["code", "requests"], "properties": {
            "code": { "const": "approval_required" },
            "requests": { "type": "array", "items": { "type": "string", "format": "uuid" } },
            "items": { "type": "array" } } }] },
        "Rotation": { "type": "object", "required": ["sequence"], "properties": { "sequence": { "type": "integer" } } },
        "HsmMove": crate::http::hsm_moves::schema(),
        "ClockConfirmation": { "type": "object", "required": ["was", "now", "wall_clock"], "properties": {
            "was": { "enum": ["ahead", "behind", "trusted"] }, "now": time, "wall_clock": time } },
        "Expiries": { "type": "object", "required": ["expiries"], "properties": {
            "expiries": { "type": "array", "items": { "type": "object", "properties": {
                "expired_at": time, "destroyed_at": time, "receipt": { "type": "object" } } } },
            "next": { "type": "integer" } } },
        "PutKeyspace": PutBody::schema(),
        "Keyspace": KeyspaceView::schema(),
        "UsesView": UsesView::schema(),
        "VersionView": VersionView::schema(),
        "IssueAnswer": { "type": "object",
            "required": ["conversation", "wrapped_key", "version", "use_until", "cache_until", "expires_at"],
            "properties": { "conversation": text, "data_key": text, "wrapped_key": text, "version": version,
                "use_until": time, "cache_until": time, "expires_at": time } },
        "UnwrapAnswer": { "type": "object",
            "required": ["conversation", "data_key", "version", "cache_until", "expires_at"],
            "properties": { "conversation": text, "data_key": text, "version": version,
                "cache_until": time, "expires_at": time } },
        "Batch": { "type": "object", "required": ["items"], "properties": { "items": { "type": "array" } } },
        "Status": StatusAnswer::schema(),
        "HsmDeviceStatus": HsmDeviceStatus::schema(),
        "NodeStatus": NodeStatus::schema(),
        "KeyspaceStatus": KeyspaceStatus::schema(),
        "BucketsStatus": BucketsStatus::schema(),
        "ClientUses": ClientUses::schema(),
        "KeyVersionStatus": KeyVersionStatus::schema(),
        "VerificationKeys": { "type": "object", "required": ["keys"], "properties": {
            "keys": { "type": "array", "items": reference("VerificationKey") } } },
        "VerificationKey": VerificationKeyView::schema(),
        "Document": { "type": "object" },
        "Keyspaces": { "type": "object", "required": ["keyspaces"], "properties": {
            "keyspaces": { "type": "array", "items": reference("Keyspace") }, "next": text } },
        "Problem": { "type": "object", "required": ["type", "title", "status", "code", "detail"],
            "properties": { "type": text, "title": text, "status": { "type": "integer" }, "code": text, "detail": text } }
    })
}
