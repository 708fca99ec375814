use axum::http::StatusCode;
use serde_json::{Value, json};
use utoipa::PartialSchema;

use super::call::{Call, Done, Operation};
use super::data_keys::{IssueItem, UnwrapItem};
use super::keyspaces::{KeyspaceView, PutBody};
use super::problem::Problem;
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
            "/v1/keyspaces": { "get": list() },
            "/v1/keyspaces/{keyspace}": {
                "get": operation("show_keyspace", "Settings, versions, live buckets", None, &[("200", "Keyspace")], true),
                "put": operation("put_keyspace", "Makes a keyspace or replaces its settings", Some(reference("PutKeyspace")), &[("200", "Keyspace"), ("201", "Keyspace")], true)
            },
            "/v1/status": { "get": operation("status", "What a seizure now would find", None, &[("200", "Status")], false) },
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
