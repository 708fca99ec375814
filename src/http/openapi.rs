use axum::http::StatusCode;
use serde_json::{Value, json};
use utoipa::PartialSchema;

use super::approvals::ApprovalView;
use super::call::{Call, Done, Operation};
use super::data_keys::{IssueItem, RewrapItem, UnwrapItem};
use super::keyspaces::{KeyspaceView, PutBody};
use super::problem::Problem;
use super::shreds::ShredItem;
use crate::access::Role;

/// `GET /v1/openapi.json`
pub(crate) struct Specification;

impl Operation for Specification {
    const NAME: &'static str = "openapi";
    const ROLES: &'static [Role] = Role::ANY;
    const BODY: bool = false;

    async fn run(_: &Call) -> Result<Done, Problem> {
        Done::json(StatusCode::OK, &document())
    }
}

/// OpenAPI 3.1 of the API, with the schemas of the types that parse and write it.
#[must_use]
pub fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Lethe",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": "A key management service that forgets. mTLS 1.3; bytes are standard base64."
        },
        "paths": {
            "/v1/keyspaces/{keyspace}/data-keys": { "post": operation("issue", "A new data key", Some(items("Issue")), &[("201", "IssueAnswer"), ("200", "Batch")], true) },
            "/v1/keyspaces/{keyspace}/data-keys/unwrap": { "post": operation("unwrap", "The data key of a wrapped key", Some(items("Unwrap")), &[("200", "UnwrapAnswer")], true) },
            "/v1/keyspaces/{keyspace}/data-keys/rewrap": { "post": operation("rewrap", "The same data key under the newest version, same expiry", Some(items("Rewrap")), &[("200", "RewrapAnswer")], true) },
            "/v1/keyspaces/{keyspace}/shreds": { "post": with(operation("shred", "All keys of a conversation, gone for good", Some(items("Shred")), &[("200", "ForgetAnswer"), ("202", "Pending")], true), prefer()) },
            "/v1/keyspaces/{keyspace}/shreds/{id}": { "get": with(operation("show_shred", "How far a request to forget is", None, &[("200", "ForgetAnswer")], true), path("id", json!({ "type": "string", "format": "uuid" }))) },
            "/v1/keyspaces/{keyspace}/versions": { "post": operation("rotate_keyspace", "New issues use a new key version", None, &[("201", "Keyspace")], true) },
            "/v1/keyspaces/{keyspace}/versions/{version}": { "delete": with(with(with(operation("drop_version", "All keys of an old version, gone for good", None, &[("200", "ForgetAnswer"), ("202", "Pending")], true), path("version", json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX }))), query("id", json!({ "type": "string", "format": "uuid" }))), prefer()) },
            "/v1/keyspaces": { "get": list() },
            "/v1/keyspaces/{keyspace}": {
                "get": operation("show_keyspace", "Settings, versions, live buckets", None, &[("200", "Keyspace")], true),
                "put": operation("put_keyspace", "Makes a keyspace or replaces its settings", Some(reference("PutKeyspace")), &[("200", "Keyspace"), ("201", "Keyspace")], true),
                "delete": with(with(operation("erase_keyspace", "All of a keyspace, gone for good", None, &[("200", "ForgetAnswer"), ("202", "Pending")], true), query("id", json!({ "type": "string", "format": "uuid" }))), prefer())
            },
            "/v1/root/rotations": { "post": operation("rotate_root", "A new root in the HSM, now", None, &[("200", "Rotation")], false) },
            "/v1/hsm/moves": {
                "get": operation("show_hsm_move", "How far the move to another HSM is", None, &[("200", "HsmMove")], false),
                "post": operation("move_hsm", "Everything moves to the HSM of [hsm_next]; answered when that has begun", None, &[("202", "HsmMove")], false)
            },
            "/v1/approvals": { "get": with(with(operation("list_approvals", "What waits for a second operator, oldest first", None, &[("200", "Approvals")], false), query("limit", json!({ "type": "integer", "minimum": 1, "maximum": 1000 }))), query("after", json!({ "type": "string", "format": "uuid" }))) },
            "/v1/approvals/{id}": {
                "get": with(operation("show_approval", "How far it is; to operators and to who asked", None, &[("200", "Approval")], false), path("id", json!({ "type": "string", "format": "uuid" }))),
                "post": with(with(operation("approve", "The second word, answered as the call that asked would have been", None, &[("200", "ForgetAnswer"), ("202", "ForgetAnswer")], false), path("id", json!({ "type": "string", "format": "uuid" }))), prefer())
            },
            "/v1/clock/confirmations": { "post": operation("confirm_clock", "The wall clock is right, though it jumped", None, &[("200", "ClockConfirmation")], false) },
            "/v1/expiries": { "get": with(with(operation("list_expiries", "Receipts of expired buckets, oldest first", None, &[("200", "Expiries")], false), query("limit", json!({ "type": "integer", "minimum": 1, "maximum": 1000 }))), query("after", json!({ "type": "integer", "minimum": 0, "maximum": i64::MAX }))) },
            "/v1/status": { "get": operation("status", "What a seizure now would find", None, &[("200", "Status")], false) },
            "/v1/verification-keys": { "get": operation("verification_keys", "Public keys of receipts and checkpoints", None, &[("200", "VerificationKeys")], false) },
            "/v1/openapi.json": { "get": operation("openapi", "This document", None, &[("200", "Document")], false) }
        },
        "components": { "schemas": schemas() }
    })
}

fn schemas() -> Value {
    let time = json!({ "type": "string", "format": "date-time" });
    let text = json!({ "type": "string" });
    let version = json!({ "type": "integer", "minimum": 1 });
    json!({
        "Issue": IssueItem::schema(),
        "Unwrap": UnwrapItem::schema(),
        "Rewrap": RewrapItem::schema(),
        "RewrapAnswer": { "type": "object",
            "properties": { "conversation": text, "wrapped_key": text, "version": version, "expires_at": time,
                "items": { "type": "array" } } },
        "Shred": ShredItem::schema(),
        "ForgetAnswer": { "type": "object",
            "properties": { "id": { "type": "string", "format": "uuid" }, "state": { "enum": ["accepted", "destroyed", "approval_required"] },
                "approval": { "type": "string", "format": "uuid" },
                "accepted_at": time, "destroyed_at": time, "leases_end_at": time,
                "receipt": { "type": "object" }, "opening": { "type": "object" }, "items": { "type": "array" } } },
        "Pending": { "anyOf": [reference("ForgetAnswer"), reference("ApprovalRequired")] },
        "Approval": ApprovalView::schema(),
        "Approvals": { "type": "object", "required": ["approvals"], "properties": {
            "approvals": { "type": "array", "items": reference("Approval") }, "next": { "type": "string", "format": "uuid" } } },
        "ApprovalRequired": { "allOf": [reference("Approval"), { "type": "object", "required": ["code", "requests"], "properties": {
            "code": { "const": "approval_required" },
            "requests": { "type": "array", "items": { "type": "string", "format": "uuid" } },
            "items": { "type": "array" } } }] },
        "Rotation": { "type": "object", "required": ["sequence"], "properties": { "sequence": { "type": "integer" } } },
        "HsmMove": super::hsm_moves::schema(),
        "ClockConfirmation": { "type": "object", "required": ["was", "now", "wall_clock"], "properties": {
            "was": { "enum": ["ahead", "behind", "trusted"] }, "now": time, "wall_clock": time } },
        "Expiries": { "type": "object", "required": ["expiries"], "properties": {
            "expiries": { "type": "array", "items": { "type": "object", "properties": {
                "expired_at": time, "destroyed_at": time, "receipt": { "type": "object" } } } },
            "next": { "type": "integer" } } },
        "PutKeyspace": PutBody::schema(),
        "Keyspace": KeyspaceView::schema(),
        "VersionView": super::keyspaces::VersionView::schema(),
        "IssueAnswer": { "type": "object",
            "required": ["conversation", "wrapped_key", "version", "use_until", "cache_until", "expires_at"],
            "properties": { "conversation": text, "data_key": text, "wrapped_key": text, "version": version,
                "use_until": time, "cache_until": time, "expires_at": time } },
        "UnwrapAnswer": { "type": "object",
            "properties": { "conversation": text, "data_key": text, "version": version,
                "cache_until": time, "expires_at": time, "items": { "type": "array" } } },
        "Batch": { "type": "object", "required": ["items"], "properties": { "items": { "type": "array" } } },
        "Status": { "type": "object" },
        "VerificationKeys": { "type": "object", "required": ["keys"], "properties": {
            "keys": { "type": "array", "items": reference("VerificationKey") } } },
        "VerificationKey": super::verification_keys::VerificationKeyView::schema(),
        "Document": { "type": "object" },
        "Keyspaces": { "type": "object", "required": ["keyspaces"], "properties": {
            "keyspaces": { "type": "array", "items": reference("Keyspace") }, "next": text } },
        "Problem": { "type": "object", "required": ["type", "title", "status", "code", "detail"],
            "properties": { "type": text, "title": text, "status": { "type": "integer" }, "code": text, "detail": text } }
    })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// One, or a batch.
fn items(name: &str) -> Value {
    json!({ "oneOf": [reference(name), {
        "type": "object", "required": ["items"], "additionalProperties": false,
        "properties": { "items": { "type": "array", "minItems": 1, "maxItems": 1000, "items": reference(name) } }
    }] })
}

fn path(name: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "path", "required": true, "schema": schema })
}

fn query(name: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "query", "schema": schema })
}

/// `respond-async` answers as soon as it is accepted.
fn prefer() -> Value {
    json!({ "name": "Prefer", "in": "header", "schema": { "type": "string" } })
}

/// An operation with one parameter more.
fn with(mut operation: Value, parameter: Value) -> Value {
    match operation["parameters"].as_array_mut() {
        Some(parameters) => parameters.push(parameter),
        None => operation["parameters"] = json!([parameter]),
    }
    operation
}

fn list() -> Value {
    let mut list = operation(
        "list_keyspaces",
        "Keyspaces by name",
        None,
        &[("200", "Keyspaces")],
        false,
    );
    list["parameters"] = json!([
        { "name": "limit", "in": "query", "schema": { "type": "integer", "minimum": 1, "maximum": 1000 } },
        { "name": "after", "in": "query", "schema": { "type": "string" } }
    ]);
    list
}

fn operation(
    id: &str,
    summary: &str,
    body: Option<Value>,
    answers: &[(&str, &str)],
    keyspace: bool,
) -> Value {
    let mut operation = json!({ "operationId": id, "summary": summary, "responses": {
        "default": { "description": "An error", "content": { "application/problem+json": { "schema": reference("Problem") } } }
    } });
    for (status, schema) in answers {
        operation["responses"][status] = json!({ "description": "Done",
            "content": { "application/json": { "schema": reference(schema) } } });
    }
    if let Some(schema) = body {
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    if keyspace {
        operation["parameters"] = json!([{ "name": "keyspace", "in": "path", "required": true,
            "schema": { "type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$" } }]);
    }
    operation
}
