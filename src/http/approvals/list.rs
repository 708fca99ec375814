use axum::http::StatusCode;
use lethe_core::approval::{ApprovalId, ApprovalState};
use serde::{Deserialize, Serialize};

use super::view::ApprovalView;
use crate::access::Role;
use crate::http::call::{Call, Done, Operation};
use crate::http::problem::Problem;

/// `GET /v1/approvals`: what waits for a second operator, oldest first, in pages.
pub(crate) struct List;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default = "most")]
    limit: u32,
    after: Option<String>,
}

const fn most() -> u32 {
    100
}

#[derive(Serialize)]
struct ListAnswer {
    approvals: Vec<ApprovalView>,
    /// For `after` of the next page; none on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Operation for List {
    const NAME: &'static str = "list_approvals";
    const ROLES: &'static [Role] = &[Role::Operator];
    const BODY: bool = false;

    async fn run(call: &Call) -> Result<Done, Problem> {
        let page: Page = serde_urlencoded::from_str(&call.query)
            .map_err(|_| Problem::invalid("the query takes limit and after"))?;
        if !(1..=1_000).contains(&page.limit) {
            return Err(Problem::invalid("limit must be 1 to 1000"));
        }
        let after = page.after.as_deref().map(str::parse::<ApprovalId>);
        let after = after.transpose().map_err(Problem::invalid)?;
        let after = after.unwrap_or(ApprovalId::FIRST);
        let store = &call.service.approvals.store;
        // One more tells whether there is a next page.
        let waiting = store.approvals(ApprovalState::Waiting, after, page.limit + 1);
        let mut waiting = waiting.await?;
        let more = waiting.len() > page.limit as usize;
        waiting.truncate(page.limit as usize);
        let next = waiting.last().filter(|_| more).map(|it| it.id.to_string());
        waiting.retain(|it| call.grants(&it.keyspace_name) && it.expires_at > call.now);
        let approvals = waiting.iter().map(ApprovalView::new).collect();
        Done::json(StatusCode::OK, &ListAnswer { approvals, next })
    }
}
