use lethe_core::approval::Action;
use serde::Deserialize;

use crate::approvals::CheckResult;
use crate::erasure::ErasureRequest;
use crate::http::approvals::{answer_pending, approval_check};
use crate::http::call::{Call, Endpoint, Outcome};
use crate::http::openapi::Description;
use crate::http::problem::{Code, Problem};
use crate::http::query;
use crate::http::reason::reason;
use crate::http::shreds::{WaitBudget, await_one, chosen_id};
use crate::identity::Role;

/// `DELETE /v1/keyspaces/{keyspace}`: erases all keys of a keyspace. It cannot be undone.
pub(crate) struct Erase;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    /// Id of the request, chosen by the caller. The same id returns the first result again.
    id: Option<String>,
    /// The reason, in at most 256 characters: for the audit record and the second operator.
    reason: Option<String>,
}

impl Endpoint for Erase {
    const NAME: &'static str = "erase_keyspace";
    const ROLES: &'static [Role] = &[Role::Operator];
    const BODY: bool = false;
    const RUNS_TO_COMPLETION: bool = true;

    fn describe() -> Description {
        Description::new(Self::NAME, "forgetting", "All of a keyspace, gone for good")
            .keyspace()
            .id_and_reason()
            .forgets()
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        forget(call, Action::EraseKeyspace, ErasureRequest::Erase).await
    }
}

/// Runs one request to forget that is not a shred. It waits for a second operator when one is required.
pub(crate) async fn forget(
    call: &Call,
    action: Action,
    request: ErasureRequest,
) -> Result<Outcome, Problem> {
    let query: Query = query::parse(&call.query, "the query takes id and reason")?;
    let id = chosen_id(query.id.as_deref())?;
    let reason = reason(query.reason.as_deref())?;
    call.check_audit()?;
    let budget = WaitBudget::for_call(call);
    let part = call.trace.part("accept");
    let check = approval_check(call, reason.clone());
    let reply = check
        .erase_or_drop(call.keyspace()?, action, id, request)
        .await?;
    drop(part);
    let mut items = match reply {
        CheckResult::Pending(asked) => {
            let mut outcome =
                answer_pending::<()>(call, &asked.approval, asked.erasures, None).await?;
            outcome.reason = reason;
            return Ok(outcome);
        }
        CheckResult::Answered(items) => items,
    };
    let nothing = || Problem::new(Code::Overloaded, "not accepted");
    let admitted = items.pop().ok_or_else(nothing)??;
    let mut outcome = await_one(call, call.keyspace()?, &budget, &admitted).await?;
    outcome.reason = reason;
    Ok(outcome)
}
