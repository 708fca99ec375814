use hyper::StatusCode;
use lethe_core::approval::Approval;
use lethe_core::receipt::RequestId;
use serde::Serialize;

use super::view::ApprovalView;
use crate::approvals::{Question, digest_key};
use crate::http::call::{Call, Done};
use crate::http::problem::Problem;
use crate::leader::KeeperError;

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

/// What a call asks for, and whether that waits.
pub(crate) fn question(call: &Call, reason: Option<Box<str>>) -> Question<'_> {
    Question {
        service: &call.service,
        by: call.principal(),
        caller: call.caller(),
        now: call.now,
        reason,
    }
}

/// The answer of a change that the keeper did not make: it waits where a second operator is needed.
pub(crate) async fn not_made(call: &Call, error: KeeperError) -> Result<Done, Problem> {
    match error {
        KeeperError::NeedsApproval(action, scope) => {
            let approval = question(call, None).change(*action, scope).await?;
            waits::<()>(call, &approval, Vec::new(), None).await
        }
        error => Err(error.into()),
    }
}

/// The answer of a call that needs one.
pub(crate) async fn waits<T: Serialize>(
    call: &Call,
    approval: &Approval,
    requests: Vec<RequestId>,
    items: Option<&[T]>,
) -> Result<Done, Problem> {
    let key = digest_key(&call.service, approval).await?;
    let answer = WaitsAnswer {
        code: "approval_required",
        approval: ApprovalView::new(approval, None).with_digest_key(key),
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
