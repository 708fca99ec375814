//! One operation of the document, put together piece by piece.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{header, reference};
use crate::http::problem::Code;
use crate::identity::Role;

/// Codes that the pipeline may refuse every call with.
const OF_THE_PIPELINE: [Code; 7] = [
    Code::Forbidden,
    Code::UnsupportedMediaType,
    Code::ExpectationFailed,
    Code::QuotaExceeded,
    Code::AuditUnavailable,
    Code::LeaseLost,
    Code::Overloaded,
];

/// The description of an operation while it is built.
#[derive(Debug)]
pub(in crate::http) struct Description {
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Vec<(u16, &'static str)>,
    refusals: Vec<Code>,
}

impl Description {
    /// `id` is also its name in metrics and audit records.
    pub(in crate::http) fn new(id: &'static str, tag: &'static str, summary: &'static str) -> Self {
        Self {
            id,
            tag,
            summary,
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            refusals: OF_THE_PIPELINE.into(),
        }
    }

    /// Adds the keyspace in the path.
    pub(in crate::http) fn keyspace(self) -> Self {
        let name = json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$", "examples": ["chat"] });
        self.path("keyspace", "The keyspace's name", name)
            .refuses(&[Code::UnknownKeyspace])
    }

    /// Adds a parameter of the path.
    pub(in crate::http) fn path(self, name: &str, description: &str, schema: Value) -> Self {
        self.parameter(
            json!({ "name": name, "in": "path", "required": true, "description": description,
            "schema": schema }),
        )
        .refuses(&[Code::InvalidRequest])
    }

    /// Adds a parameter of the query.
    pub(in crate::http) fn query(self, name: &str, description: &str, schema: Value) -> Self {
        self.parameter(
            json!({ "name": name, "in": "query", "description": description, "schema": schema }),
        )
        .refuses(&[Code::InvalidRequest])
    }

    /// Adds the parameters of paging.
    pub(in crate::http) fn pages(self, after: Value) -> Self {
        let limit = json!({ "type": "integer", "minimum": 1, "maximum": 1000 });
        self.query("limit", "At most so many; 100 where it is not given", limit)
            .query("after", "Where the page before ended: its next", after)
    }

    /// Adds the id and the reason of a request to forget to the query.
    pub(in crate::http) fn id_and_reason(self) -> Self {
        let reason = json!({ "type": "string", "maxLength": 256 });
        let id = "The caller's: sent again, it returns the first result";
        self.query("id", id, uuid())
            .query("reason", "Why, in at most 256 characters", reason)
    }

    /// Adds what every call that destroys keys has.
    pub(in crate::http) fn forgets(self) -> Self {
        self.prefer()
            .answers(200, "ForgetAnswer")
            .answers(202, "ForgetAnswer")
            .answers(202, "ApprovalRequired")
            .refuses(&[Code::Conflict, Code::TooManyApprovals])
            .refuses(&[Code::StoreUnavailable])
    }

    /// Adds `Prefer: respond-async`.
    pub(in crate::http) fn prefer(self) -> Self {
        let text = json!({ "type": "string" });
        let description =
            "respond-async: answered when it is accepted, not when it is done (RFC 7240)";
        self.parameter(
            json!({ "name": "Prefer", "in": "header", "description": description, "schema": text }),
        )
    }

    fn parameter(mut self, parameter: Value) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// Adds a JSON body.
    pub(in crate::http) fn body(mut self, schema: Value) -> Self {
        self.body = Some(schema);
        self.refuses(&[Code::InvalidRequest, Code::TooLarge])
    }

    /// Adds a successful answer. Several schemas of one status are alternatives.
    pub(in crate::http) fn answers(mut self, status: u16, schema: &'static str) -> Self {
        self.answers.push((status, schema));
        self
    }

    /// Adds codes that it may refuse with.
    pub(in crate::http) fn refuses(mut self, codes: &[Code]) -> Self {
        for code in codes {
            if !self.refusals.contains(code) {
                self.refusals.push(*code);
            }
        }
        self
    }

    /// Its name, and the outcomes that its answers are counted under.
    pub(in crate::http) fn outcomes(&self) -> (&'static str, Vec<&'static str>) {
        let refusals = self.refusals.iter().map(|code| code.name());
        (self.id, std::iter::once("ok").chain(refusals).collect())
    }

    /// The operation in the document, for these roles.
    pub(in crate::http) fn value(self, roles: &[Role]) -> Value {
        let mut responses = serde_json::Map::new();
        let mut answers: BTreeMap<u16, Vec<Value>> = BTreeMap::new();
        for (status, schema) in &self.answers {
            answers.entry(*status).or_default().push(reference(schema));
        }
        for (status, schemas) in answers {
            responses.insert(status.to_string(), answer(status, schemas));
        }
        let mut refusals: BTreeMap<u16, Vec<&'static str>> = BTreeMap::new();
        for code in &self.refusals {
            let status = code.status().as_u16();
            refusals.entry(status).or_default().push(code.name());
        }
        for (status, codes) in refusals {
            responses.insert(status.to_string(), refusal(status, &codes));
        }
        let roles: Vec<_> = roles.iter().map(|role| role.name()).collect();
        let mut operation = json!({ "operationId": self.id, "tags": [self.tag], "summary": self.summary,
            "description": format!("For the roles {}.", roles.join(", ")), "x-roles": roles,
            "responses": responses });
        if let Some(schema) = self.body {
            operation["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
        }
        if !self.parameters.is_empty() {
            operation["parameters"] = self.parameters.into();
        }
        operation
    }
}

fn answer(status: u16, mut schemas: Vec<Value>) -> Value {
    let schema = match schemas.len() {
        1 => schemas.remove(0),
        _ => json!({ "oneOf": schemas }),
    };
    let mut headers = json!({ "x-request-id": header("RequestId") });
    let description = if status == 202 {
        headers["Location"] = header("Location");
        "Accepted, or it waits for a second operator"
    } else {
        "Done"
    };
    json!({ "description": description, "headers": headers,
        "content": { "application/json": { "schema": schema } } })
}

/// A problem, with the codes that it can have.
fn refusal(status: u16, codes: &[&str]) -> Value {
    let mut headers = json!({ "x-request-id": header("RequestId") });
    if [429, 503].contains(&status) {
        headers["Retry-After"] = header("RetryAfter");
    }
    // The codes stand beside the schema: most generators ignore a schema that is narrowed for one status.
    json!({ "description": codes.join(", "), "headers": headers, "x-codes": codes,
        "content": { "application/problem+json": { "schema": reference("Problem") } } })
}

/// The schema of a UUID.
pub(in crate::http) fn uuid() -> Value {
    // The format alone lets the spelling without hyphens through.
    json!({ "type": "string", "format": "uuid", "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$" })
}

/// The schema of one item or a batch.
pub(in crate::http) fn items(name: &str) -> Value {
    json!({ "oneOf": [reference(name), reference(&format!("{name}Batch"))] })
}
