use hyper::StatusCode;
use lethe_core::approval::Approval;
use lethe_core::receipt::ErasureId;
use serde::Serialize;

use super::view::ApprovalView;
use crate::approvals::{ApprovalCheck, digest_key};
use crate::http::call::{Call, Outcome};
use crate::http::problem::Problem;
use crate::leader::KeeperError;

/// The answer of a call that waits for a second operator.
#[derive(Serialize)]
struct PendingAnswer<'a, T: Serialize> {
    code: &'static str,
    #[serde(flatten)]
    approval: ApprovalView,
    /// Ids of the requests that wait. The caller can ask for them after the approval.
    requests: Vec<String>,
    /// Results of the items of a batch; none for a single request.
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<&'a [T]>,
}

/// The check whether a call needs an approval.
pub(crate) fn approval_check(call: &Call, reason: Option<Box<str>>) -> ApprovalCheck<'_> {
    ApprovalCheck {
        approvals: &call.service.approvals,
        by: call.principal(),
        caller: call.caller(),
        now: call.now,
        reason,
    }
}

/// The answer of a change that the keeper did not make. If a second operator is needed, the call waits for
/// one.
pub(crate) async fn not_made(call: &Call, error: KeeperError) -> Result<Outcome, Problem> {
    match error {
        KeeperError::NeedsApproval(action, scope) => {
            let approval = approval_check(call, None).change(*action, scope).await?;
            answer_pending::<()>(call, &approval, Vec::new(), None).await
        }
        error => Err(error.into()),
    }
}

/// Answers `202` with the approval and its location.
pub(crate) async fn answer_pending<T: Serialize>(
    call: &Call,
    approval: &Approval,
    requests: Vec<ErasureId>,
    items: Option<&[T]>,
) -> Result<Outcome, Problem> {
    let key = digest_key(&call.service.approvals, approval).await?;
    let answer = PendingAnswer {
        code: "approval_required",
        approval: ApprovalView::new(approval, None).with_digest_key(key),
        requests: requests.iter().map(ToString::to_string).collect(),
        items,
    };
    let mut outcome = Outcome::json(StatusCode::ACCEPTED, &answer)?;
    outcome.recorded_as = "approval_required";
    outcome.requests.push(approval.id.as_erasure());
    outcome.requests.extend(requests);
    outcome.location = Some(format!("/v1/approvals/{}", approval.id));
    Ok(outcome)
}
