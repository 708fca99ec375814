//! The answer to a request to forget.

use std::time::Duration;

use hyper::StatusCode;
use lethe_core::erasure::Erasure;
use lethe_core::keyspace::KeyspaceName;
use lethe_core::receipt::{Opening, Receipt};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::erasure::ErasureAnswer;
use crate::http::call::{Call, Outcome};
use crate::http::problem::Problem;
use crate::http::state::ApiState;
use crate::http::times::Rfc3339;

/// Longest wait for the end of a request. After that the answer says that it is accepted. It is much shorter
/// than the timeouts of clients.
const WAIT_LIMIT: Duration = Duration::from_secs(10);

/// The state of one request.
#[derive(Serialize)]
pub(crate) struct ErasureView {
    id: String,
    state: &'static str,
    accepted_at: Rfc3339,
    #[serde(skip_serializing_if = "Option::is_none")]
    destroyed_at: Option<Rfc3339>,
    leases_end_at: Rfc3339,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opening: Option<Box<RawValue>>,
}

impl ErasureView {
    pub(super) fn new(
        request: &Erasure,
        receipt: Option<&Receipt>,
        opening: Option<&Opening>,
    ) -> Result<Self, Problem> {
        let raw = |text: String| RawValue::from_string(text).map_err(Problem::invalid);
        Ok(Self {
            id: request.id.to_string(),
            state: if receipt.is_some() {
                "destroyed"
            } else {
                "accepted"
            },
            accepted_at: Rfc3339(request.accepted_at),
            destroyed_at: receipt.map(|receipt| Rfc3339(receipt.facts.destroyed_at)),
            leases_end_at: Rfc3339(request.leases_end_at),
            receipt: receipt.map(|it| raw(it.to_json())).transpose()?,
            opening: opening.map(|it| raw(it.to_json())).transpose()?,
        })
    }

    pub(super) const fn is_destroyed(&self) -> bool {
        self.destroyed_at.is_some()
    }
}

/// How long a call waits for the requests that it made.
pub(crate) struct WaitBudget(tokio::time::Instant);

impl WaitBudget {
    /// No wait at all when the client prefers an answer at once.
    pub(crate) fn for_call(call: &Call) -> Self {
        // Shorter than the timeout of the request, so that the call can still answer that it is accepted.
        let limit = call.service.request_timeout;
        let budget = if call.respond_async {
            Duration::ZERO
        } else {
            WAIT_LIMIT.min(limit.saturating_sub(limit / 4))
        };
        Self(tokio::time::Instant::now() + budget)
    }

    /// The receipt, if the request ends within the budget.
    pub(super) async fn receipt(
        &self,
        service: &ApiState,
        admitted: &ErasureAnswer,
    ) -> Result<Option<Receipt>, Problem> {
        let (pending_erasures, number) = (&service.pending_erasures, admitted.accepted.number);
        if pending_erasures.is_open(number) {
            let done = pending_erasures.until_done(number);
            if tokio::time::timeout_at(self.0, done).await.is_err() {
                return Ok(None);
            }
        }
        let keys = service.node.verifiers();
        Ok(pending_erasures
            .receipt(service.node.deployment, number, &keys)
            .await?)
    }
}

/// The answer of a call that made one request.
pub(crate) async fn await_one(
    call: &Call,
    keyspace: &KeyspaceName,
    budget: &WaitBudget,
    admitted: &ErasureAnswer,
) -> Result<Outcome, Problem> {
    let request = &admitted.accepted.erasure;
    // An accepted request is never answered by a failure. Without a receipt the answer says that it is
    // accepted.
    let part = call.trace.part("wait for batches");
    let receipt = budget.receipt(&call.service, admitted).await;
    drop(part);
    let receipt = receipt.unwrap_or_default();
    let answer = ErasureView::new(request, receipt.as_ref(), admitted.opening.as_ref())?;
    let status = if answer.is_destroyed() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let mut done = Outcome::json(status, &answer)?;
    done.requests.push(request.id);
    if status == StatusCode::ACCEPTED {
        done.location = Some(format!("/v1/keyspaces/{keyspace}/shreds/{}", request.id));
    }
    Ok(done)
}
