use hyper::StatusCode;
use lethe_core::erasure::AcceptedErasure;
use lethe_core::receipt::ErasureId;
use serde::Serialize;

use super::answer::ErasureView;
use crate::http::call::{Call, Endpoint, Outcome};
use crate::http::openapi::{Description, uuid};
use crate::http::problem::{Code, Problem};
use crate::identity::Role;

/// `GET /v1/keyspaces/{keyspace}/shreds/{id}`: shows the state of a request to forget. The answer
/// has no opening, because no conversation id is stored.
pub(crate) struct Show;

impl Endpoint for Show {
    const NAME: &'static str = "show_shred";
    const ROLES: &'static [Role] = Role::ANY;
    const BODY: bool = false;

    fn describe() -> Description {
        Description::new(Self::NAME, "forgetting", "How far a request to forget is")
            .keyspace()
            .path("id", "The request's", uuid())
            .answers(200, "ForgetAnswer")
            .answers(200, "WaitingAnswer")
            .refuses(&[Code::NotFound, Code::StoreUnavailable])
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        let id: ErasureId = call.parameter("id", "an id is a UUID")?;
        let found = call.service.store.erasures_by_id(&[id]).await?;
        let Some(accepted) = found.first() else {
            return waiting(call, id).await;
        };
        if !is_of(call, accepted).await? {
            return Err(unknown());
        }
        let number = accepted.number;
        let (service, keys) = (&call.service, call.service.node.verifiers());
        let receipt = service
            .pending_erasures
            .receipt(service.node.deployment, number, &keys);
        let answer = ErasureView::new(&accepted.erasure, receipt.await?.as_ref(), None)?;
        Outcome::json(StatusCode::OK, &answer)
    }
}

/// A request that waits for a second operator.
#[derive(Serialize)]
struct WaitingAnswer {
    id: String,
    state: &'static str,
    approval: String,
}

async fn waiting(call: &Call, id: ErasureId) -> Result<Outcome, Problem> {
    let store = &call.service.approvals.store;
    let found = store.waiting_erasures(&[id]).await?;
    let (_, approval) = found.first().ok_or_else(unknown)?;
    let approval = store.approval(*approval).await?.ok_or_else(unknown)?;
    let name = call.keyspace()?;
    let keyring = call.service.node.key_state.keyring();
    let lives = keyring.keyspaces.get(name);
    let scope = approval.scope.as_ref();
    let is_of = lives.is_some_and(|it| scope.is_some_and(|scope| it.id == scope.id));
    if !is_of || approval.expires_at <= call.now {
        return Err(unknown());
    }
    let answer = WaitingAnswer {
        id: id.to_string(),
        state: "approval_required",
        approval: approval.id.to_string(),
    };
    Outcome::json(StatusCode::OK, &answer)
}

/// Whether a request belongs to the keyspace in the path: the one that has the name now, or an erased one
/// that had it.
async fn is_of(call: &Call, accepted: &AcceptedErasure) -> Result<bool, Problem> {
    let (name, id) = (call.keyspace()?, accepted.erasure.keyspace);
    let keyring = call.service.node.key_state.keyring();
    if keyring.keyspaces.get(name).is_some_and(|it| it.id == id) {
        return Ok(true);
    }
    drop(keyring);
    Ok(call.service.store.erase_of(name, id).await?.is_some())
}

fn unknown() -> Problem {
    Problem::new(Code::NotFound, "no such request")
}
