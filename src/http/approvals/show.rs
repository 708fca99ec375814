use hyper::StatusCode;
use lethe_core::approval::{Approval, ApprovalId, ApprovalState, End, Void};

use super::view::ApprovalView;
use crate::approvals::{digest_key, effective, superseding_erase};
use crate::http::call::{Call, Done, Operation};
use crate::http::problem::{Code, Problem};
use crate::identity::Role;

/// `GET /v1/approvals/{id}`: how far it is; to operators, and to who asked.
pub(crate) struct Show;

impl Operation for Show {
    const NAME: &'static str = "show_approval";
    const ROLES: &'static [Role] = &[Role::MessageServer, Role::Operator];
    const BODY: bool = false;

    async fn run(call: &Call) -> Result<Done, Problem> {
        let approval = effective(&call.service, find_for(call).await?, call.now);
        let covered_by = match approval.state {
            ApprovalState::Ended(End::Void(Void::KeyspaceGone)) => {
                superseding_erase(&call.service, &approval).await?
            }
            _ => None,
        };
        let key = digest_key(&call.service, &approval).await?;
        let view = ApprovalView::new(&approval, covered_by).with_digest_key(key);
        Done::json(StatusCode::OK, &view)
    }
}

/// The one in the path, if the caller is an operator or has asked for it.
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

/// One that is granted: no other is there for this caller.
pub(super) async fn find(call: &Call, id: ApprovalId) -> Result<Approval, Problem> {
    let found = call.service.approvals.store.approval(id).await?;
    found
        .filter(|approval| call.grants_approval(approval))
        .ok_or_else(unknown)
}

fn unknown() -> Problem {
    Problem::new(Code::NotFound, "no such approval")
}
