use std::borrow::Cow;

use hyper::StatusCode;
use lethe_core::conversation::ConversationId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{RequestAnswer, Waited, await_one};
use crate::access::Role;
use crate::approvals::{Asked, Reply};
use crate::forgetting::{Admitted, NotAccepted, Wanted};
use crate::http::approvals::{question, waits};
use crate::http::body::Items;
use crate::http::call::{Call, Done, Operation};
use crate::http::problem::{Code, Problem};
use crate::limits::Kind;

/// `POST /v1/keyspaces/{keyspace}/shreds`: all keys of a conversation, gone for good.
pub(crate) struct Create;

/// Asks for a conversation to be shredded.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShredItem<'a> {
    /// 1 to 256 bytes of UTF-8 without control characters.
    #[serde(borrow)]
    #[schema(
        min_length = 1,
        max_length = 256,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"
    )]
    conversation: Cow<'a, str>,
    /// A UUID of the caller's: sent again, it returns the first result. Ids that are ordered by
    /// time (UUIDv7) cost least.
    #[serde(default, borrow)]
    #[schema(format = "uuid")]
    id: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ItemAnswer {
    Request(Box<RequestAnswer>),
    Waits {
        id: String,
        state: &'static str,
        approval: String,
    },
    Refused {
        error: Reason,
    },
}

impl ItemAnswer {
    fn refused(problem: Problem) -> Self {
        Self::Refused {
            error: Reason {
                code: problem.code.name(),
                detail: problem.detail.into_owned(),
            },
        }
    }
}

#[derive(Serialize)]
struct Reason {
    code: &'static str,
    detail: String,
}

#[derive(Serialize)]
struct ItemsAnswer {
    items: Vec<ItemAnswer>,
}

impl Operation for Create {
    const NAME: &'static str = "shred";
    const ROLES: &'static [Role] = &[Role::MessageServer, Role::Operator];
    const BODY: bool = true;
    const LASTS: bool = true;

    async fn run(call: &Call) -> Result<Done, Problem> {
        let waited = Waited::for_call(call);
        match Items::<ShredItem<'_>>::parse(&call.body)? {
            Items::One(item) => {
                call.take(Kind::Shred, 1)?;
                let wanted = wanted(&item)?;
                one(call, &waited, wanted).await
            }
            Items::Many(items) => {
                call.take(Kind::Shred, items.len())?;
                many(call, &waited, items).await
            }
        }
    }
}

fn wanted(item: &ShredItem<'_>) -> Result<Wanted, Problem> {
    let conversation = ConversationId::try_from(&*item.conversation).map_err(Problem::invalid)?;
    let id = item.id.as_deref().map(str::parse).transpose();
    Ok(Wanted::Shred(id.map_err(Problem::invalid)?, conversation))
}

/// Without an audit log nothing is accepted: the record comes behind.
async fn accept(call: &Call, wanted: Vec<Wanted>, alone: bool) -> Result<Reply, Problem> {
    call.check_audit()?;
    let part = call.trace.part("accept");
    let reply = question(call)?.shreds(wanted, alone).await?;
    drop(part);
    Ok(reply)
}

async fn one(call: &Call, waited: &Waited, wanted: Wanted) -> Result<Done, Problem> {
    let mut items = match accept(call, vec![wanted], true).await? {
        Reply::Waits(asked) => return waits::<()>(&asked.approval, asked.requests, None),
        Reply::Answered(items) => items,
    };
    let admitted = items.pop().ok_or_else(nothing)??;
    await_one(call, call.keyspace()?, waited, &admitted).await
}

async fn many(
    call: &Call,
    waited: &Waited,
    items: Vec<Result<ShredItem<'_>, Problem>>,
) -> Result<Done, Problem> {
    call.service.live.keyring().keyspace(call.keyspace()?)?;
    let mut good = Vec::with_capacity(items.len());
    let items = items.into_iter().map(|item| {
        good.push(wanted(&item?)?);
        Ok(())
    });
    let items: Vec<Result<(), Problem>> = items.collect();
    match accept(call, good, false).await? {
        Reply::Answered(answered) => {
            let answered = answered.into_iter().map(|it| it.map_err(Problem::from));
            await_many(call, waited, in_place(items, answered)).await
        }
        Reply::Waits(asked) => some_wait(call, waited, items, asked).await,
    }
}

/// Each item's own problem, or what became of it.
fn in_place<T>(
    items: Vec<Result<(), Problem>>,
    mut answered: impl Iterator<Item = Result<T, Problem>>,
) -> Vec<Result<T, Problem>> {
    let items = items.into_iter();
    let each = items.map(|it| it.and_then(|()| answered.next().unwrap_or_else(|| Err(nothing()))));
    each.collect()
}

/// Those that were accepted before are answered; the others wait.
async fn some_wait(
    call: &Call,
    waited: &Waited,
    items: Vec<Result<(), Problem>>,
    asked: Box<Asked>,
) -> Result<Done, Problem> {
    let mut answers = Vec::with_capacity(items.len());
    for item in in_place(items, asked.items.into_iter().map(Ok)) {
        answers.push(match item {
            Ok(Err(NotAccepted::NeedsApproval(request))) => ItemAnswer::Waits {
                id: request.id.to_string(),
                state: "approval_required",
                approval: asked.approval.id.to_string(),
            },
            Ok(Ok(admitted)) => answer(call, waited, &admitted).await?,
            Ok(Err(error)) => ItemAnswer::refused(error.into()),
            Err(problem) => ItemAnswer::refused(problem),
        });
    }
    waits(&asked.approval, asked.requests, Some(&answers))
}

/// The answer of a call that made many requests.
pub(crate) async fn await_many(
    call: &Call,
    waited: &Waited,
    items: Vec<Result<Admitted, Problem>>,
) -> Result<Done, Problem> {
    let (mut answers, mut requests) = (Vec::with_capacity(items.len()), Vec::new());
    let part = call.trace.part("wait for batches");
    for item in items {
        answers.push(match item {
            Ok(admitted) => {
                requests.push(admitted.accepted.request.id);
                answer(call, waited, &admitted).await?
            }
            Err(problem) => ItemAnswer::refused(problem),
        });
    }
    drop(part);
    let refused = answers
        .iter()
        .filter(|it| matches!(it, ItemAnswer::Refused { .. }));
    let refused = u32::try_from(refused.count()).unwrap_or(u32::MAX);
    let mut done = Done::json(StatusCode::OK, &ItemsAnswer { items: answers })?;
    done.requests = requests;
    done.refused = refused;
    Ok(done)
}

async fn answer(call: &Call, waited: &Waited, admitted: &Admitted) -> Result<ItemAnswer, Problem> {
    // From the acceptance on nothing is a failure.
    let receipt = waited.receipt(&call.service, admitted).await;
    let receipt = receipt.unwrap_or_default();
    let request = &admitted.accepted.request;
    let answer = RequestAnswer::new(request, receipt.as_ref(), admitted.opening.as_ref())?;
    Ok(ItemAnswer::Request(Box::new(answer)))
}

/// Cannot happen: the acceptor answers each item.
fn nothing() -> Problem {
    Problem::new(Code::Overloaded, "not accepted")
}
