use hyper::StatusCode;
use lethe_core::approval::{Act, SecondWord};
use lethe_core::keyring::KeyError;

use super::show::find;
use crate::access::Role;
use crate::approvals::{Given, give};
use crate::http::call::{Call, Done, Operation};
use crate::http::keyspaces::KeyspaceView;
use crate::http::problem::{Code, Problem};
use crate::http::shreds::{Waited, await_many, await_one};

/// `POST /v1/approvals/{id}`: the second word. Answered as the call that asked would have been.
pub(crate) struct Approve;

impl Operation for Approve {
    const NAME: &'static str = "approve";
    const ROLES: &'static [Role] = &[Role::Operator];
    const BODY: bool = false;
    const LASTS: bool = true;

    async fn run(call: &Call) -> Result<Done, Problem> {
        let approval = find(call).await?;
        call.check_audit()?;
        let waited = Waited::for_call(call);
        let second = SecondWord {
            by: call.voice(),
            at: call.now,
        };
        let part = call.trace.part("accept");
        let given = give(&call.service, approval, second).await?;
        drop(part);
        let Given { approval, admitted } = given;
        let (id, keyspace) = (approval.id, &approval.keyspace_name);
        let mut admitted = admitted.into_iter().map(|one| one.map_err(Problem::from));
        let mut done = match approval.act {
            Act::Shred { alone: false, .. } => {
                await_many(call, &waited, admitted.collect()).await?
            }
            Act::RaiseMinimum(_) => {
                let keyring = call.service.live.keyring();
                let shown = keyring.keyspace(keyspace)?;
                // It may have been erased since, and another one bear its name.
                if shown.id != approval.keyspace {
                    return Err(KeyError::UnknownKeyspace.into());
                }
                Done::json(StatusCode::OK, &KeyspaceView::new(shown, &keyring, call))?
            }
            Act::Shred { alone: true, .. } | Act::EraseKeyspace | Act::DropVersion(_) => {
                let one = admitted.next();
                let nothing = || Problem::new(Code::Overloaded, "not accepted");
                await_one(call, keyspace, &waited, &one.ok_or_else(nothing)??).await?
            }
        };
        done.requests.insert(0, id.as_request());
        Ok(done)
    }
}
