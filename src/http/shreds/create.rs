use std::borrow::Cow;

use hyper::StatusCode;
use lethe_core::approval::ApprovalId;
use lethe_core::conversation::ConversationId;
use lethe_core::erasure::Erasure;
use lethe_core::receipt::ErasureId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{ErasureView, WaitBudget, await_one};
use super::chosen_id;
use crate::approvals::{CheckResult, PendingApproval};
use crate::erasure::{AcceptError, ErasureAnswer, ErasureRequest};
use crate::http::approvals::{answer_pending, approval_check};
use crate::http::call::{Call, Endpoint, Outcome};
use crate::http::json::Items;
use crate::http::openapi::{Description, items};
use crate::http::problem::{Code, Problem};
use crate::http::reason::{common, reason};
use crate::identity::Role;
use crate::limits::Kind;

/// `POST /v1/keyspaces/{keyspace}/shreds`: destroys all keys of a conversation. It cannot be undone.
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
    /// A UUID that the caller chooses. A call with the same id returns the first result. Ids in the
    /// order of time (UUIDv7) cost least.
    #[serde(default, borrow)]
    #[schema(format = "uuid")]
    id: Option<Cow<'a, str>>,
    /// The reason, in at most 256 characters: for the audit record and the second operator. All items
    /// of a batch have the same one.
    #[serde(default, borrow)]
    #[schema(max_length = 256)]
    reason: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum ItemAnswer {
    Request(Box<ErasureView>),
    Pending {
        id: String,
        state: &'static str,
        approval: String,
    },
    Refused {
        error: Reason,
    },
}

impl ItemAnswer {
    pub(super) const fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    fn pending(request: &Erasure, approval: ApprovalId) -> Self {
        Self::Pending {
            id: request.id.to_string(),
            state: "approval_required",
            approval: approval.to_string(),
        }
    }

    pub(super) fn refused(problem: Problem) -> Self {
        Self::Refused {
            error: Reason {
                code: problem.code.name(),
                detail: problem.detail.into_owned(),
            },
        }
    }
}

#[derive(Serialize)]
pub(super) struct Reason {
    code: &'static str,
    detail: String,
}

#[derive(Serialize)]
pub(super) struct ItemsAnswer {
    pub(super) items: Vec<ItemAnswer>,
}

impl Endpoint for Create {
    const NAME: &'static str = "shred";
    const ROLES: &'static [Role] = &[Role::MessageServer, Role::Operator];
    const BODY: bool = true;
    const COUNTS_ITEMS: bool = true;
    const RUNS_TO_COMPLETION: bool = true;

    fn describe() -> Description {
        Description::new(
            Self::NAME,
            "forgetting",
            "All keys of a conversation, gone for good",
        )
        .keyspace()
        .body(items("Shred"))
        .answers(200, "ShredAnswers")
        .forgets()
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        let budget = WaitBudget::for_call(call);
        match Items::<ShredItem<'_>>::parse(&call.body)? {
            Items::One(item) => {
                call.take(Kind::Shred, 1)?;
                let (request, reason) = (request_of(&item)?, reason(item.reason.as_deref())?);
                with_reason(reason, async |reason| {
                    one(call, &budget, request, reason).await
                })
                .await
            }
            Items::Many(items) => {
                call.take(Kind::Shred, items.len())?;
                let reasons = items.iter().flatten().map(|it| it.reason.as_deref());
                let reason = common(reasons)?;
                with_reason(reason, async |reason| {
                    many(call, &budget, items, reason).await
                })
                .await
            }
        }
    }
}

/// Runs a shred and adds its reason to the audit record.
async fn with_reason(
    reason: Option<Box<str>>,
    shred: impl AsyncFnOnce(Option<Box<str>>) -> Result<Outcome, Problem>,
) -> Result<Outcome, Problem> {
    let mut outcome = shred(reason.clone()).await?;
    outcome.reason = reason;
    Ok(outcome)
}

fn request_of(item: &ShredItem<'_>) -> Result<ErasureRequest, Problem> {
    erasure_request(&item.conversation, item.id.as_deref())
}

pub(super) fn erasure_request(
    conversation: &str,
    id: Option<&str>,
) -> Result<ErasureRequest, Problem> {
    let conversation = ConversationId::try_from(conversation).map_err(Problem::invalid)?;
    Ok(ErasureRequest::Shred(chosen_id(id)?, conversation))
}

/// The answers of `count` items, and the requests that were accepted or wait for approval, with the approval
/// first.
pub(super) async fn of_reply(
    call: &Call,
    budget: &WaitBudget,
    count: usize,
    reply: Result<CheckResult, AcceptError>,
) -> Result<(Vec<ItemAnswer>, Vec<ErasureId>), Problem> {
    let (items, approval) = match reply {
        Ok(CheckResult::Answered(items)) => (items, None),
        Ok(CheckResult::Pending(asked)) => (asked.items, Some(asked.approval.id)),
        Err(error) => {
            let problem = Problem::from(error);
            let refused = || ItemAnswer::refused(problem.clone());
            return Ok((
                std::iter::repeat_with(refused).take(count).collect(),
                Vec::new(),
            ));
        }
    };
    let mut requests: Vec<ErasureId> = approval.iter().map(ApprovalId::as_erasure).collect();
    let mut answers = Vec::with_capacity(items.len());
    for item in items {
        answers.push(match (item, approval) {
            (Err(AcceptError::NeedsApproval(request)), Some(approval)) => {
                requests.push(request.id);
                ItemAnswer::pending(&request, approval)
            }
            (Err(error), _) => ItemAnswer::refused(error.into()),
            (Ok(admitted), _) => {
                requests.push(admitted.accepted.erasure.id);
                answer(call, budget, &admitted).await?
            }
        });
    }
    Ok((answers, requests))
}

/// Accepts shreds. The record is written afterwards, so nothing is accepted unless the audit log can be
/// written.
async fn accept(
    call: &Call,
    requests: Vec<ErasureRequest>,
    single: bool,
    reason: Option<Box<str>>,
) -> Result<CheckResult, Problem> {
    call.check_audit()?;
    let part = call.trace.part("accept");
    let check = approval_check(call, reason);
    let reply = check.shreds(call.keyspace()?, requests, single).await?;
    drop(part);
    Ok(reply)
}

async fn one(
    call: &Call,
    budget: &WaitBudget,
    request: ErasureRequest,
    reason: Option<Box<str>>,
) -> Result<Outcome, Problem> {
    let mut items = match accept(call, vec![request], true, reason).await? {
        CheckResult::Pending(asked) => {
            return answer_pending::<()>(call, &asked.approval, asked.erasures, None).await;
        }
        CheckResult::Answered(items) => items,
    };
    let admitted = items.pop().ok_or_else(nothing)??;
    await_one(call, call.keyspace()?, budget, &admitted).await
}

async fn many(
    call: &Call,
    budget: &WaitBudget,
    items: Vec<Result<ShredItem<'_>, Problem>>,
    reason: Option<Box<str>>,
) -> Result<Outcome, Problem> {
    call.service
        .node
        .key_state
        .keyring()
        .keyspace(call.keyspace()?)?;
    let mut good = Vec::with_capacity(items.len());
    let items = items.into_iter().map(|item| {
        good.push(request_of(&item?)?);
        Ok(())
    });
    let items: Vec<Result<(), Problem>> = items.collect();
    match accept(call, good, false, reason).await? {
        CheckResult::Answered(answered) => {
            let answered = answered.into_iter().map(|it| it.map_err(Problem::from));
            await_many(call, budget, in_place(items, answered)).await
        }
        CheckResult::Pending(asked) => some_wait(call, budget, items, asked).await,
    }
}

/// For each item its own problem, or its result.
fn in_place<T>(
    items: Vec<Result<(), Problem>>,
    mut answered: impl Iterator<Item = Result<T, Problem>>,
) -> Vec<Result<T, Problem>> {
    let items = items.into_iter();
    let each = items.map(|it| it.and_then(|()| answered.next().unwrap_or_else(|| Err(nothing()))));
    each.collect()
}

/// Answers a batch of which some items were accepted before and the others wait for approval.
async fn some_wait(
    call: &Call,
    budget: &WaitBudget,
    items: Vec<Result<(), Problem>>,
    asked: Box<PendingApproval>,
) -> Result<Outcome, Problem> {
    let mut answers = Vec::with_capacity(items.len());
    for item in in_place(items, asked.items.into_iter().map(Ok)) {
        answers.push(match item {
            Ok(Err(AcceptError::NeedsApproval(request))) => {
                ItemAnswer::pending(&request, asked.approval.id)
            }
            Ok(Ok(admitted)) => answer(call, budget, &admitted).await?,
            Ok(Err(error)) => ItemAnswer::refused(error.into()),
            Err(problem) => ItemAnswer::refused(problem),
        });
    }
    answer_pending(call, &asked.approval, asked.erasures, Some(&answers)).await
}

/// The answer of a call that made many requests.
pub(crate) async fn await_many(
    call: &Call,
    budget: &WaitBudget,
    items: Vec<Result<ErasureAnswer, Problem>>,
) -> Result<Outcome, Problem> {
    let (mut answers, mut requests) = (Vec::with_capacity(items.len()), Vec::new());
    let part = call.trace.part("wait for batches");
    for item in items {
        answers.push(match item {
            Ok(admitted) => {
                requests.push(admitted.accepted.erasure.id);
                answer(call, budget, &admitted).await?
            }
            Err(problem) => ItemAnswer::refused(problem),
        });
    }
    drop(part);
    let refused = answers
        .iter()
        .filter(|it| matches!(it, ItemAnswer::Refused { .. }));
    let refused = u32::try_from(refused.count()).unwrap_or(u32::MAX);
    let mut outcome = Outcome::json(StatusCode::OK, &ItemsAnswer { items: answers })?;
    outcome.requests = requests;
    outcome.refused = refused;
    Ok(outcome)
}

async fn answer(
    call: &Call,
    budget: &WaitBudget,
    admitted: &ErasureAnswer,
) -> Result<ItemAnswer, Problem> {
    // An accepted request is never answered by a failure.
    let receipt = budget.receipt(&call.service, admitted).await;
    let receipt = receipt.unwrap_or_default();
    let request = &admitted.accepted.erasure;
    let answer = ErasureView::new(request, receipt.as_ref(), admitted.opening.as_ref())?;
    Ok(ItemAnswer::Request(Box::new(answer)))
}

/// Cannot happen: the acceptor answers each item.
fn nothing() -> Problem {
    Problem::new(Code::Overloaded, "not accepted")
}
