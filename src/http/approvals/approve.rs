use hyper::StatusCode;
use lethe_core::approval::{Action, Approval, ApprovalId};
use lethe_core::keyring::KeyError;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::show::find;
use crate::approvals::{Approved, Outcome, approve};
use crate::erasure::{Admitted, NotAccepted};
use crate::http::body;
use crate::http::call::{Call, Done, Operation};
use crate::http::clock::confirmed;
use crate::http::hsm_moves::shown;
use crate::http::keyspaces::KeyspaceView;
use crate::http::problem::{Code, Problem};
use crate::http::shreds::{Waited, await_many, await_one};
use crate::identity::Role;

/// `POST /v1/approvals/{id}`: a second operator approves. Answered as the call that asked would have
/// been.
pub(crate) struct Approve;

impl Operation for Approve {
    const NAME: &'static str = "approve";
    const ROLES: &'static [Role] = &[Role::Operator];
    const BODY: bool = false;
    const LASTS: bool = true;

    async fn run(call: &Call) -> Result<Done, Problem> {
        let id: ApprovalId = call.parameter("id", "an id is a UUID")?;
        call.check_audit()?;
        let waited = Waited::for_call(call);
        let approved = approved(call, id).await?;
        answer(call, &waited, approved).await
    }
}

/// `POST /v1/approvals`: several at once, each by itself; answered in their order.
pub(crate) struct ApproveMany;

/// Names what is approved.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApproveManyBody {
    /// 1 to 100 ids of approvals.
    #[schema(min_items = 1, max_items = 100)]
    ids: Vec<String>,
}

/// Approvals in one call, at most: each may wait for disk and HSM.
const MOST: usize = 100;

#[derive(Serialize)]
struct ManyAnswer {
    items: Vec<Box<RawValue>>,
}

impl Operation for ApproveMany {
    const NAME: &'static str = "approve_many";
    const ROLES: &'static [Role] = &[Role::Operator];
    const BODY: bool = true;
    const LASTS: bool = true;

    async fn run(call: &Call) -> Result<Done, Problem> {
        let body: ApproveManyBody = body::parse(&call.body)?;
        if !(1..=MOST).contains(&body.ids.len()) {
            return Err(Problem::invalid("1 to 100 ids"));
        }
        call.check_audit()?;
        let waited = Waited::for_call(call);
        // All of them before anybody waits for the end of one.
        let mut results = Vec::with_capacity(body.ids.len());
        for id in &body.ids {
            results.push(match id.parse() {
                Ok(id) => approved(call, id).await,
                Err(_) => Err(Problem::invalid("an id is a UUID")),
            });
        }
        let (mut items, mut requests, mut refused) = (Vec::new(), Vec::new(), 0);
        for result in results {
            let answered = match result {
                Ok(approved) => answer(call, &waited, approved).await,
                Err(problem) => Err(problem),
            };
            items.push(match answered {
                Ok(done) => {
                    requests.extend(done.requests);
                    String::from_utf8(done.body).map_err(Problem::invalid)?
                }
                Err(problem) => {
                    refused += 1;
                    let error = json!({ "code": problem.code.name(), "detail": problem.detail });
                    json!({ "error": error }).to_string()
                }
            });
        }
        let items = items.into_iter().map(RawValue::from_string);
        let items = items.collect::<Result<_, _>>().map_err(Problem::invalid)?;
        let mut done = Done::json(StatusCode::OK, &ManyAnswer { items })?;
        done.requests = requests;
        done.refused = refused;
        Ok(done)
    }
}

async fn approved(call: &Call, id: ApprovalId) -> Result<Approved, Problem> {
    let approval = find(call, id).await?;
    let part = call.trace.part("accept");
    let approved = approve(&call.service, approval, call.decision()).await?;
    drop(part);
    Ok(approved)
}

async fn answer(call: &Call, waited: &Waited, approved: Approved) -> Result<Done, Problem> {
    let Approved { approval, outcome } = approved;
    let mut done = match outcome {
        Outcome::Requests(admitted) => requests(call, waited, &approval, admitted).await?,
        Outcome::Settings => settings(call, &approval)?,
        Outcome::Clock(done) => confirmed(call, done)?,
        Outcome::HsmMove => shown(call)?,
    };
    done.requests.insert(0, approval.id.as_request());
    done.reason = approval.reason;
    Ok(done)
}

async fn requests(
    call: &Call,
    waited: &Waited,
    approval: &Approval,
    admitted: Vec<Result<Admitted, NotAccepted>>,
) -> Result<Done, Problem> {
    let nothing = || Problem::new(Code::Overloaded, "not accepted");
    let mut admitted = admitted.into_iter().map(|one| one.map_err(Problem::from));
    if let Action::Shred { single: false, .. } = approval.action {
        return await_many(call, waited, admitted.collect()).await;
    }
    let one = admitted.next().ok_or_else(nothing)??;
    let keyspace = approval.keyspace_name().ok_or_else(nothing)?;
    await_one(call, keyspace, waited, &one).await
}

/// The keyspace as it is by now: it may have been erased since, and another one bear its name.
fn settings(call: &Call, approval: &Approval) -> Result<Done, Problem> {
    let keyring = call.service.live.keyring();
    let scope = approval.scope.as_ref();
    let scope = scope.ok_or(KeyError::UnknownKeyspace)?;
    let keyspace = keyring.keyspace(&scope.name)?;
    if keyspace.id != scope.id {
        return Err(KeyError::UnknownKeyspace.into());
    }
    let view = KeyspaceView::new(keyspace, &keyring, call);
    Done::json(StatusCode::OK, &view)
}
