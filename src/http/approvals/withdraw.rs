use hyper::StatusCode;

use super::show::find_for;
use super::view::ApprovalView;
use crate::approvals::withdraw;
use crate::http::call::{Call, Endpoint, Outcome};
use crate::http::openapi::{Description, uuid};
use crate::http::problem::{Code, Problem};
use crate::identity::Role;

/// `DELETE /v1/approvals/{id}`: withdraws what waits. Any operator may do it, and the client that asked.
pub(crate) struct Withdraw;

impl Endpoint for Withdraw {
    const NAME: &'static str = "withdraw_approval";
    const ROLES: &'static [Role] = &[Role::MessageServer, Role::Operator];
    const BODY: bool = false;
    const RUNS_TO_COMPLETION: bool = true;

    fn describe() -> Description {
        let summary = "What waits is taken back, by who asked or by an operator";
        Description::new(Self::NAME, "approvals", summary)
            .path("id", "The approval's", uuid())
            .answers(200, "Approval")
            .refuses(&[Code::NotFound, Code::Conflict])
            .refuses(&[Code::StoreUnavailable])
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        let approval = find_for(call).await?;
        call.check_audit()?;
        let withdrawn = withdraw(&call.service.approvals, approval, call.decision()).await?;
        let answer = ApprovalView::new(&withdrawn, None);
        let mut outcome = Outcome::json(StatusCode::OK, &answer)?;
        outcome.requests.push(withdrawn.id.as_erasure());
        Ok(outcome)
    }
}
