use hyper::StatusCode;
use lethe_core::approval::{Action, Approval, ApprovalId};
use lethe_core::keyring::KeyError;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::show::find;
use crate::approvals::{Approved, ApprovedEffect, approve};
use crate::erasure::{AcceptError, ErasureAnswer};
use crate::http::call::{Call, Endpoint, Outcome};
use crate::http::clock::confirmed;
use crate::http::hsm_moves::shown;
use crate::http::json;
use crate::http::keyspaces::KeyspaceView;
use crate::http::openapi::{Description, reference, uuid};
use crate::http::problem::{Code, Problem};
use crate::http::shreds::{WaitBudget, await_many, await_one};
use crate::identity::Role;

/// `POST /v1/approvals/{id}`: a second operator approves. The answer is that of the call that asked.
pub(crate) struct Approve;

impl Endpoint for Approve {
    const NAME: &'static str = "approve";
    const ROLES: &'static [Role] = &[Role::Operator];
    const BODY: bool = false;
    const RUNS_TO_COMPLETION: bool = true;

    fn describe() -> Description {
        let summary = "A second operator approves; answered as the call that asked would have been";
        Description::new(Self::NAME, "approvals", summary)
            .path("id", "The approval's", uuid())
            .prefer()
            .answers(200, "ForgetAnswer")
            .answers(200, "ShredAnswers")
            .answers(200, "Keyspace")
            .answers(200, "ClockConfirmation")
            .answers(202, "ForgetAnswer")
            .answers(202, "HsmMove")
            .refuses(&[Code::UnknownKeyspace, Code::NotFound, Code::Conflict])
            .refuses(&[Code::TooManyBuckets, Code::HsmUnavailable])
            .refuses(&[Code::StoreUnavailable])
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        let id: ApprovalId = call.parameter("id", "an id is a UUID")?;
        call.check_audit()?;
        let budget = WaitBudget::for_call(call);
        let approved = approved(call, id).await?;
        answer(call, &budget, approved).await
    }
}

/// `POST /v1/approvals`: approves several, each independently. The answers are in the order of the ids.
pub(crate) struct ApproveMany;

/// Names what is approved.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApproveManyBody {
    /// 1 to 100 ids of approvals.
    #[schema(min_items = 1, max_items = 100)]
    ids: Vec<String>,
}

/// Largest number of approvals in one call. Each may wait for disk and HSM.
const MOST: usize = 100;

#[derive(Serialize)]
struct ManyAnswer {
    items: Vec<Box<RawValue>>,
}

impl Endpoint for ApproveMany {
    const NAME: &'static str = "approve_many";
    const ROLES: &'static [Role] = &[Role::Operator];
    const BODY: bool = true;
    const RUNS_TO_COMPLETION: bool = true;

    fn describe() -> Description {
        let summary = "A second operator approves several; each is answered as by itself, in order";
        Description::new(Self::NAME, "approvals", summary)
            .body(reference("ApproveMany"))
            .prefer()
            .answers(200, "ApproveAnswers")
            .refuses(&[Code::StoreUnavailable])
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        let body: ApproveManyBody = json::parse(&call.body)?;
        if !(1..=MOST).contains(&body.ids.len()) {
            return Err(Problem::invalid("1 to 100 ids"));
        }
        call.check_audit()?;
        let budget = WaitBudget::for_call(call);
        // All are approved before the call waits for the end of the first.
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
                Ok(approved) => answer(call, &budget, approved).await,
                Err(problem) => Err(problem),
            };
            items.push(match answered {
                Ok(outcome) => {
                    requests.extend(outcome.requests);
                    String::from_utf8(outcome.body).map_err(Problem::invalid)?
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
        let mut outcome = Outcome::json(StatusCode::OK, &ManyAnswer { items })?;
        outcome.requests = requests;
        outcome.refused = refused;
        Ok(outcome)
    }
}

async fn approved(call: &Call, id: ApprovalId) -> Result<Approved, Problem> {
    let approval = find(call, id).await?;
    let part = call.trace.part("accept");
    let approved = approve(&call.service.approvals, approval, call.decision()).await?;
    drop(part);
    Ok(approved)
}

async fn answer(call: &Call, budget: &WaitBudget, approved: Approved) -> Result<Outcome, Problem> {
    let Approved { approval, effect } = approved;
    let mut answer = match effect {
        ApprovedEffect::Erasures(admitted) => requests(call, budget, &approval, admitted).await?,
        ApprovedEffect::Settings => settings(call, &approval)?,
        ApprovedEffect::Clock(confirmation) => confirmed(call, confirmation)?,
        ApprovedEffect::HsmMove => shown(call)?,
    };
    answer.requests.insert(0, approval.id.as_erasure());
    answer.reason = approval.reason;
    Ok(answer)
}

async fn requests(
    call: &Call,
    budget: &WaitBudget,
    approval: &Approval,
    admitted: Vec<Result<ErasureAnswer, AcceptError>>,
) -> Result<Outcome, Problem> {
    let nothing = || Problem::new(Code::Overloaded, "not accepted");
    let mut admitted = admitted.into_iter().map(|one| one.map_err(Problem::from));
    if let Action::Shred { single: false, .. } = approval.action {
        return await_many(call, budget, admitted.collect()).await;
    }
    let one = admitted.next().ok_or_else(nothing)??;
    let keyspace = approval.keyspace_name().ok_or_else(nothing)?;
    await_one(call, keyspace, budget, &one).await
}

/// The keyspace as it is now. It may have been erased since, and another keyspace may have its name.
fn settings(call: &Call, approval: &Approval) -> Result<Outcome, Problem> {
    let keyring = call.service.node.key_state.keyring();
    let scope = approval.scope.as_ref();
    let scope = scope.ok_or(KeyError::UnknownKeyspace)?;
    let keyspace = keyring.keyspace(&scope.name)?;
    if keyspace.id != scope.id {
        return Err(KeyError::UnknownKeyspace.into());
    }
    let view = KeyspaceView::new(keyspace, &keyring, call);
    Outcome::json(StatusCode::OK, &view)
}
