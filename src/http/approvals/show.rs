use hyper::StatusCode;
use lethe_core::approval::{Approval, ApprovalId, ApprovalState, End, Void};

use super::view::ApprovalView;
use crate::approvals::{digest_key, effective, superseding_erase};
use crate::http::call::{Call, Endpoint, Outcome};
use crate::http::openapi::{Description, uuid};
use crate::http::problem::{Code, Problem};
use crate::identity::Role;

/// `GET /v1/approvals/{id}`: shows an approval to operators and to the client that asked for it.
pub(crate) struct Show;

impl Endpoint for Show {
    const NAME: &'static str = "show_approval";
    const ROLES: &'static [Role] = &[Role::MessageServer, Role::Operator];
    const BODY: bool = false;

    fn describe() -> Description {
        let summary = "How far it is; to operators and to who asked";
        Description::new(Self::NAME, "approvals", summary)
            .path("id", "The approval's", uuid())
            .answers(200, "Approval")
            .refuses(&[Code::NotFound, Code::StoreUnavailable])
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        let approval = effective(&call.service.approvals, find_for(call).await?, call.now);
        let covered_by = match approval.state {
            ApprovalState::Ended(End::Void(Void::KeyspaceGone)) => {
                superseding_erase(&call.service.approvals, &approval).await?
            }
            _ => None,
        };
        let key = digest_key(&call.service.approvals, &approval).await?;
        let view = ApprovalView::new(&approval, covered_by).with_digest_key(key);
        Outcome::json(StatusCode::OK, &view)
    }
}

/// The approval in the path, if the caller is an operator or has asked for it.
pub(super) async fn find_for(call: &Call) -> Result<Approval, Problem> {
    let id = call.parameter("id", "an id is a UUID")?;
    let approval = find(call, id).await?;
    let rules = call.service.gate.rules();
    let client = &call.client;
    let grant = rules.access().grant(client);
    let is_operator = grant.is_some_and(|grant| grant.role == Role::Operator);
    if is_operator || *approval.asked_by.client == *client.as_str() {
        Ok(approval)
    } else {
        Err(unknown())
    }
}

/// An approval whose subject is granted to the caller. Any other is not found.
pub(super) async fn find(call: &Call, id: ApprovalId) -> Result<Approval, Problem> {
    let found = call.service.approvals.store.approval(id).await?;
    found
        .filter(|approval| call.grants_approval(approval))
        .ok_or_else(unknown)
}

fn unknown() -> Problem {
    Problem::new(Code::NotFound, "no such approval")
}
