use lethe_core::approval::Action;
use serde::Deserialize;

use crate::approvals::Reply;
use crate::erasure::Wanted;
use crate::http::approvals::{question, waits};
use crate::http::call::{Call, Done, Operation};
use crate::http::problem::{Code, Problem};
use crate::http::reason::reason;
use crate::http::shreds::{Waited, await_one, chosen_id};
use crate::identity::Role;

/// `DELETE /v1/keyspaces/{keyspace}`: all of it, gone for good.
pub(crate) struct Erase;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    /// As with a shred: sent again, the first result.
    id: Option<String>,
    /// Why, in at most 256 characters.
    reason: Option<String>,
}

impl Operation for Erase {
    const NAME: &'static str = "erase_keyspace";
    const ROLES: &'static [Role] = &[Role::Operator];
    const BODY: bool = false;
    const LASTS: bool = true;

    async fn run(call: &Call) -> Result<Done, Problem> {
        forget(call, Action::EraseKeyspace, Wanted::Erase).await
    }
}

/// One request that is not a shred, by the same road; it waits for a second operator where one is
/// required.
pub(crate) async fn forget(call: &Call, action: Action, wanted: Wanted) -> Result<Done, Problem> {
    let query: Query = serde_urlencoded::from_str(&call.query)
        .map_err(|_| Problem::invalid("the query takes id and reason"))?;
    let id = chosen_id(query.id.as_deref())?;
    let reason = reason(query.reason.as_deref())?;
    call.check_audit()?;
    let waited = Waited::for_call(call);
    let part = call.trace.part("accept");
    let question = question(call, reason.clone());
    let reply = question.act(call.keyspace()?, action, id, wanted).await?;
    drop(part);
    let mut items = match reply {
        Reply::Waits(asked) => {
            let mut done = waits::<()>(call, &asked.approval, asked.requests, None).await?;
            done.reason = reason;
            return Ok(done);
        }
        Reply::Answered(items) => items,
    };
    let nothing = || Problem::new(Code::Overloaded, "not accepted");
    let admitted = items.pop().ok_or_else(nothing)??;
    let mut done = await_one(call, call.keyspace()?, &waited, &admitted).await?;
    done.reason = reason;
    Ok(done)
}
