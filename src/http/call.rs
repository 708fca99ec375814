use std::str::FromStr;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::{StatusCode, header};
use lethe_core::approval::{Approval, Decision, Pool, Principal};
use lethe_core::audit::KeyEvent;
use lethe_core::clock::Reading;
use lethe_core::keyspace::KeyspaceName;
use lethe_core::receipt::ErasureId;
use lethe_core::time::{Expiry, Timestamp};
use lethe_core::tree::LeafId;

use super::answer::response;
use super::openapi::Description;
use super::problem::{Code, Problem};
use super::state::ApiState;
use crate::identity::{Role, SpiffeId};
use crate::limits::Kind;
use crate::observability::telemetry::Trace;
use crate::permissions::Caller;

/// One request that has been admitted.
pub(super) struct Call {
    pub(super) service: Arc<ApiState>,
    /// The client that calls.
    pub(super) client: SpiffeId,
    /// SHA-256 of the public key in its certificate.
    pub(super) key: [u8; 32],
    /// Time of the request. It stays the same until the answer.
    pub(super) now: Timestamp,
    /// Reading of the clock, with its doubts. It is checked again before the answer.
    pub(super) reading: Reading,
    /// The keyspace in the path, if the path has one.
    pub(super) keyspace: Option<KeyspaceName>,
    /// The body. Empty when the endpoint takes none.
    pub(super) body: Bytes,
    /// The query of the URL, without `?`.
    pub(super) query: String,
    /// Parameters of the path other than the keyspace.
    pub(super) parameters: Vec<(String, String)>,
    /// `Prefer: respond-async` (RFC 7240): the client wants an answer as soon as the request is accepted.
    pub(super) respond_async: bool,
    /// Trace of the request.
    pub(super) trace: Trace,
}

impl Call {
    /// Whether a keyspace is granted to the caller. Lists use it as a filter.
    pub(super) fn grants(&self, keyspace: &KeyspaceName) -> bool {
        let rules = self.service.gate.rules();
        let grant = rules.access().grant(&self.client);
        grant.is_some_and(|grant| grant.allows(keyspace))
    }

    /// Whether the subject of an approval is granted to the caller: its keyspace, or all keyspaces when it
    /// concerns the whole deployment.
    pub(super) fn grants_approval(&self, approval: &Approval) -> bool {
        let rules = self.service.gate.rules();
        let grant = rules.access().grant(&self.client);
        grant.is_some_and(|grant| match approval.keyspace_name() {
            Some(keyspace) => grant.allows(keyspace),
            None => grant.allows_all(),
        })
    }

    /// The caller as one of the two principals of an approval.
    pub(super) fn principal(&self) -> Principal {
        Principal {
            client: self.client.as_str().into(),
            key: self.key,
        }
    }

    /// The caller as the counting of shreds sees it.
    pub(super) fn caller(&self) -> Caller {
        let rules = self.service.gate.rules();
        let grant = rules.access().grant(&self.client);
        let operator = grant.is_some_and(|grant| grant.role == Role::Operator);
        Caller {
            client: self.client.clone(),
            pool: if operator {
                Pool::Operators
            } else {
                Pool::MessageServers
            },
        }
    }

    /// A decision of the caller at the time of the request.
    pub(super) fn decision(&self) -> Decision {
        Decision {
            by: self.principal(),
            at: self.now,
        }
    }

    /// Checks that the audit log can be written. Endpoints that act before their record is written call it
    /// first.
    pub(super) fn check_audit(&self) -> Result<(), Problem> {
        let audit = self.service.audit.check();
        audit.map_err(|_| Problem::new(Code::AuditUnavailable, "the audit log cannot be written"))
    }

    /// Takes `count` items off the quota of the caller.
    pub(super) fn take(&self, kind: Kind, count: usize) -> Result<(), Problem> {
        let limits = &self.service.limits;
        Ok(limits.take(&self.client, kind, count, self.now)?)
    }

    /// Refuses while the clock is in doubt. Endpoints that compute something from the time call it.
    pub(super) fn check_clock(&self) -> Result<(), Problem> {
        match self.reading.doubt {
            None => Ok(()),
            Some(_) => Err(Problem::clock_suspect()),
        }
    }

    /// Refuses a key unless it is certain that it has not expired.
    pub(super) fn check_expiry(&self, expiry: Expiry) -> Result<(), Problem> {
        Problem::of_expiry(self.reading.judge(expiry))
    }

    /// Parses a parameter of the path. `what` says how it should look.
    pub(super) fn parameter<T: FromStr>(&self, name: &str, what: &str) -> Result<T, Problem> {
        let mut found = self.parameters.iter().filter(|(it, _)| it == name);
        let text = found.next().map(|(_, text)| text.parse());
        text.and_then(Result::ok)
            .ok_or_else(|| Problem::invalid(what))
    }

    /// The keyspace in the path, for an endpoint whose path has one.
    pub(super) fn keyspace(&self) -> Result<&KeyspaceName, Problem> {
        self.keyspace
            .as_ref()
            .ok_or_else(|| Problem::invalid("no keyspace"))
    }
}

/// The result of an endpoint: the answer, and the facts for the audit record.
pub(super) struct Outcome {
    pub(super) status: StatusCode,
    /// Outcome in the audit record: `ok`, or what the call waits for.
    pub(super) recorded_as: &'static str,
    /// JSON. It is not sent before the record is durable.
    pub(super) body: Vec<u8>,
    /// Keys in the answer.
    pub(super) keys: Vec<KeyEvent>,
    /// Leaves of the tree that must still live when the answer is sent.
    pub(super) leaves: Vec<LeafId>,
    /// Value of the counter of refusals when the endpoint began.
    pub(super) refusals: u64,
    /// Number of items of a batch that were refused.
    pub(super) refused: u32,
    /// Requests to forget that were accepted or wait for approval, with the approval first. An answer
    /// that has some must not become a failure any more.
    pub(super) requests: Vec<ErasureId>,
    /// The reason that the caller gave.
    pub(super) reason: Option<Box<str>>,
    /// Value of `Location`: where the caller can ask for the state.
    pub(super) location: Option<String>,
}

impl Outcome {
    /// An answer without keys.
    pub(super) fn json(status: StatusCode, body: &impl serde::Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_vec(body).map_err(Problem::invalid)?;
        Ok(Self::new(status, body))
    }

    /// An answer that has no keys yet.
    pub(super) const fn new(status: StatusCode, body: Vec<u8>) -> Self {
        Self {
            status,
            recorded_as: "ok",
            body,
            keys: Vec::new(),
            leaves: Vec::new(),
            refusals: 0,
            refused: 0,
            requests: Vec::new(),
            reason: None,
            location: None,
        }
    }

    /// Number of keys, requests to forget and refused items.
    pub(super) const fn items(&self) -> usize {
        self.keys.len() + self.requests.len() + self.refused as usize
    }

    /// The earliest expiry of its keys.
    pub(super) fn earliest_expiry(&self) -> Option<Expiry> {
        self.keys.iter().map(|key| key.expiry).min()
    }
}

impl IntoResponse for Outcome {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static("application/json");
        let mut response = response(self.status, kind, self.body);
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let location = self.location.and_then(|it| HeaderValue::from_str(&it).ok());
        if let Some(location) = location {
            headers.insert(header::LOCATION, location);
        }
        response
    }
}

/// An endpoint: who may call it, and what it does. The pipeline authorizes and records.
pub(super) trait Endpoint: Send + Sync + 'static {
    /// Name of the operation in audit records, metrics and the OpenAPI document.
    const NAME: &'static str;
    /// Roles that may call it.
    const ROLES: &'static [Role];
    /// Whether it takes a JSON body.
    const BODY: bool;
    /// Whether it concerns the whole deployment. If so, the caller needs a grant of all keyspaces.
    const WHOLE_DEPLOYMENT: bool = false;
    /// Whether its items have a quota of their own, which it takes them off. If not, each call is one of
    /// `limits.calls`.
    const COUNTS_ITEMS: bool = false;
    /// Whether it runs until its record is written when the client closes the connection. True when its
    /// effect cannot be undone.
    const RUNS_TO_COMPLETION: bool = false;

    /// Its description in the OpenAPI document.
    fn describe() -> Description;

    /// Translates the call into calls of the service.
    fn run(call: &Call) -> impl Future<Output = Result<Outcome, Problem>> + Send;

    /// Runs after the record is durable, just before the keys are sent.
    fn released(_: &Call, _: &Outcome) {}
}
