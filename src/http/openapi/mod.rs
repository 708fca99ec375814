//! The OpenAPI 3.1 document. It lists every status and code that an operation can answer with, and no other.

mod build;
mod operation;
mod receipts;
mod schemas;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use hyper::StatusCode;
use serde_json::{Value, json};

use super::call::{Call, Endpoint, Outcome};
use super::problem::{Code, Problem};
use super::routes::routes;
use crate::identity::Role;
pub(super) use operation::{Description, items, uuid};

/// `GET /v1/openapi.json`
pub(crate) struct Specification;

impl Endpoint for Specification {
    const NAME: &'static str = "openapi";
    const ROLES: &'static [Role] = Role::ANY;
    const BODY: bool = false;

    fn describe() -> Description {
        Description::new(Self::NAME, "looking", "This document").answers(200, "Document")
    }

    async fn run(_: &Call) -> Result<Outcome, Problem> {
        Outcome::json(StatusCode::OK, &document())
    }
}

/// The OpenAPI 3.1 document. Its schemas come from the types that parse and write the bodies.
#[must_use]
pub fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Lethe",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": "A key management service that forgets. mTLS 1.3; bytes are standard base64 with padding, \
                times RFC 3339 in UTC, spans of time a number and its unit: 500ms, 30s, 5m, 72h, 30d."
        },
        "servers": [{ "url": "https://127.0.0.1:8443", "description": "The development service" }],
        "security": [{ "mutualTLS": [] }],
        "tags": TAGS.map(|(name, description)| json!({ "name": name, "description": description })),
        "paths": paths(),
        "components": { "schemas": schemas::schemas(&codes()), "securitySchemes": { "mutualTLS": {
            "type": "mutualTLS", "description": "A client certificate with one SPIFFE id that the configuration grants a role" } },
        "headers": {
            "RequestId": { "required": true, "description": "As in the audit log",
                "schema": { "type": "string", "pattern": "^[0-9a-f]{24}$" } },
            "Location": { "required": true, "description": "Where to ask what became of it",
                "schema": { "type": "string", "pattern": "^/v1/" } },
            "RetryAfter": { "required": true, "description": "Seconds after which it may be better",
                "schema": { "type": "integer", "minimum": 1 } }
        } }
    })
}

/// Groups of operations.
const TAGS: [(&str, &str); 6] = [
    ("data keys", "Issue, unwrap and rewrap data keys"),
    (
        "forgetting",
        "Shred conversations, drop key versions, erase keyspaces; receipts",
    ),
    ("keyspaces", "Keyspaces, their settings and key versions"),
    ("approvals", "What waits for a second operator"),
    ("deployment", "Root, HSM and clock"),
    ("looking", "State, public keys, this document"),
];

fn paths() -> Value {
    let mut paths = json!({});
    for route in routes() {
        let method = route.method.as_str().to_lowercase();
        paths[route.path][method] = (route.describe)().value(route.roles);
    }
    paths
}

/// Every code that an operation may refuse with, and the codes of requests that reach no operation.
fn codes() -> Vec<&'static str> {
    let outcomes = outcomes().into_iter();
    let named = outcomes.flat_map(|(_, outcomes)| outcomes);
    let mut codes: BTreeSet<_> = named.filter(|name| *name != "ok").collect();
    codes.extend([Code::NotFound, Code::MethodNotAllowed].map(Code::name));
    codes.into_iter().collect()
}

/// The outcomes of each operation in the metrics: `ok`, and the codes that it may refuse with.
#[must_use]
pub fn outcomes() -> Vec<(&'static str, Vec<&'static str>)> {
    let routes = routes().into_iter();
    routes.map(|route| (route.describe)().outcomes()).collect()
}

pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn header(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}
