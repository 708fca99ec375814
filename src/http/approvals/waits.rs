use hyper::StatusCode;
use lethe_core::approval::Approval;
use lethe_core::receipt::RequestId;
use serde::Serialize;

use super::view::ApprovalView;
use crate::approvals::Question;
use crate::http::call::{Call, Done};
use crate::http::problem::Problem;

/// Answers a call that waits for a second operator: `202`, and where to look.
#[derive(Serialize)]
struct WaitsAnswer<'a, T: Serialize> {
    code: &'static str,
    #[serde(flatten)]
    approval: ApprovalView,
    /// Ids of the requests that wait, to ask for once they are approved.
    requests: Vec<String>,
    /// Of a batch: what became of each item.
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<&'a [T]>,
}

/// Whether a call needs a second word.
pub(crate) fn question(call: &Call) -> Result<Question<'_>, Problem> {
    Ok(Question {
        service: &call.service,
        keyspace: call.keyspace()?,
        by: call.voice(),
        now: call.now,
    })
}

/// The answer of a call that needs one.
pub(crate) fn waits<T: Serialize>(
    approval: &Approval,
    requests: Vec<RequestId>,
    items: Option<&[T]>,
) -> Result<Done, Problem> {
    let answer = WaitsAnswer {
        code: "approval_required",
        approval: ApprovalView::new(approval, None),
        requests: requests.iter().map(ToString::to_string).collect(),
        items,
    };
    let mut done = Done::json(StatusCode::ACCEPTED, &answer)?;
    done.outcome = "approval_required";
    done.requests.push(approval.id.as_request());
    done.requests.extend(requests);
    done.location = Some(format!("/v1/approvals/{}", approval.id));
    Ok(done)
}
