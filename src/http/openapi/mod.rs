//! OpenAPI 3.1 of the API: every status and code that an operation can answer with, and none else.

mod operation;
mod paths;
mod schemas;

use hyper::StatusCode;
use serde_json::{Value, json};

use super::call::{Call, Done, Operation};
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
        "paths": paths(),
        "components": { "schemas": schemas::schemas(), "headers": {
            "RequestId": { "required": true, "description": "As in the audit log",
                "schema": { "type": "string", "pattern": "^[0-9a-f]{16}$" } },
            "Location": { "required": true, "description": "Where to ask what became of it",
                "schema": { "type": "string", "pattern": "^/v1/" } },
            "RetryAfter": { "required": true, "description": "Seconds after which it may be better",
                "schema": { "type": "integer", "minimum": 1 } }
        } }
    })
}

fn paths() -> Value {
    let mut paths = json!({});
    for (path, method, operation) in paths::operations() {
        paths[path][method] = operation.value();
    }
    paths
}

/// What each operation's answers are counted as: `ok`, and the codes that it may refuse with.
#[must_use]
pub fn outcomes() -> Vec<(&'static str, Vec<&'static str>)> {
    let operations = paths::operations().into_iter();
    operations.map(|(_, _, it)| it.outcomes()).collect()
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn header(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}
