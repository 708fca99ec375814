use hyper::StatusCode;

use super::show::find_for;
use super::view::ApprovalView;
use crate::approvals::withdraw;
use crate::http::call::{Call, Done, Operation};
use crate::http::problem::Problem;
use crate::identity::Role;

/// `DELETE /v1/approvals/{id}`: what waits is taken back, by any operator or by who asked.
pub(crate) struct Withdraw;

impl Operation for Withdraw {
    const NAME: &'static str = "withdraw_approval";
    const ROLES: &'static [Role] = &[Role::MessageServer, Role::Operator];
    const BODY: bool = false;
    const LASTS: bool = true;

    async fn run(call: &Call) -> Result<Done, Problem> {
        let approval = find_for(call).await?;
        call.check_audit()?;
        let withdrawn = withdraw(&call.service, approval, call.decision()).await?;
        let answer = ApprovalView::new(&withdrawn, None);
        let mut done = Done::json(StatusCode::OK, &answer)?;
        done.requests.push(withdrawn.id.as_request());
        Ok(done)
    }
}
