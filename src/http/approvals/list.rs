use hyper::StatusCode;
use lethe_core::approval::{Approval, ApprovalId, ApprovalState};
use serde::Serialize;

use super::view::ApprovalView;
use crate::approvals::{MAX_WAITING, effective};
use crate::http::call::{Call, Endpoint, Outcome};
use crate::http::openapi::{Description, uuid};
use crate::http::page::Page;
use crate::http::problem::{Code, Problem};
use crate::identity::Role;

/// `GET /v1/approvals`: lists what waits for a second operator, oldest first.
pub(crate) struct List;

#[derive(Serialize)]
struct ListAnswer {
    approvals: Vec<ApprovalView>,
    /// Value of `after` for the next page. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Endpoint for List {
    const NAME: &'static str = "list_approvals";
    const ROLES: &'static [Role] = &[Role::Operator];
    const BODY: bool = false;

    fn describe() -> Description {
        let summary = "What waits for a second operator, oldest first";
        Description::new(Self::NAME, "approvals", summary)
            .pages(uuid())
            .answers(200, "Approvals")
            .refuses(&[Code::StoreUnavailable])
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        let page = Page::<Option<String>>::from_query(&call.query)?;
        let after = page.after.as_deref().map(str::parse::<ApprovalId>);
        let after = after.transpose().map_err(Problem::invalid)?;
        let after = after.unwrap_or(ApprovalId::FIRST);
        let store = &call.service.approvals.store;
        // All of them: `next` is one that the caller may see.
        let mut waiting = store.waiting_approvals(after, MAX_WAITING).await?;
        let shown = |it: &Approval| {
            let effective = effective(&call.service.approvals, it.clone(), call.now);
            call.grants_approval(it) && effective.state == ApprovalState::Waiting
        };
        waiting.retain(shown);
        let more = waiting.len() > page.limit as usize;
        waiting.truncate(page.limit as usize);
        let next = waiting.last().filter(|_| more).map(|it| it.id.to_string());
        let approvals = waiting.iter().map(|it| ApprovalView::new(it, None));
        let approvals = approvals.collect();
        Outcome::json(StatusCode::OK, &ListAnswer { approvals, next })
    }
}
