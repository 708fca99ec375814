use std::borrow::Cow;

use hyper::StatusCode;
use lethe_core::keyspace::KeyspaceName;
use lethe_core::receipt::ErasureId;
use serde::Deserialize;
use utoipa::ToSchema;

use super::answer::WaitBudget;
use super::create::{ItemAnswer, ItemsAnswer, erasure_request, of_reply};
use crate::erasure::ErasureRequest;
use crate::http::approvals::approval_check;
use crate::http::call::{Call, Endpoint, Outcome};
use crate::http::json::{self, AtMost};
use crate::http::openapi::{Description, reference};
use crate::http::problem::{Code, Problem};
use crate::http::reason::reason;
use crate::identity::Role;
use crate::limits::Kind;

/// `POST /v1/shreds`: shreds conversations of several keyspaces in one call. Unless all keyspaces exist and
/// are granted, nothing is done.
pub(crate) struct CreateAcross;

/// Asks for conversations of several keyspaces to be shredded: `items`, or one `conversation` in several
/// `keyspaces`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShredAcross<'a> {
    /// The conversations to shred, each with its keyspace: 1 to 1,000.
    #[serde(default, borrow)]
    #[schema(value_type = Option<Vec<ShredAcrossItem>>, min_items = 1, max_items = 1000)]
    items: Option<AtMost<ShredAcrossItem<'a>>>,
    /// The conversation to shred in all `keyspaces`, in place of `items`.
    #[serde(default, borrow)]
    #[schema(min_length = 1, max_length = 256)]
    conversation: Option<Cow<'a, str>>,
    /// The names of the keyspaces in which `conversation` is shredded, 1 to 1,000.
    #[serde(default, borrow)]
    #[schema(value_type = Option<Vec<String>>, min_items = 1, max_items = 1000)]
    keyspaces: Option<AtMost<Cow<'a, str>>>,
    /// The reason, in at most 256 characters: for the audit record and the second operator.
    #[serde(default, borrow)]
    #[schema(max_length = 256)]
    reason: Option<Cow<'a, str>>,
}

/// One conversation in one keyspace.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShredAcrossItem<'a> {
    /// The keyspace's name.
    #[serde(borrow)]
    keyspace: Cow<'a, str>,
    /// 1 to 256 bytes of UTF-8 without control characters.
    #[serde(borrow)]
    #[schema(min_length = 1, max_length = 256)]
    conversation: Cow<'a, str>,
    /// A UUID that the caller chooses. A call with the same id returns the first result.
    #[serde(default, borrow)]
    #[schema(format = "uuid")]
    id: Option<Cow<'a, str>>,
}

impl Endpoint for CreateAcross {
    const NAME: &'static str = "shred_across";
    const ROLES: &'static [Role] = &[Role::MessageServer, Role::Operator];
    const BODY: bool = true;
    const COUNTS_ITEMS: bool = true;
    const RUNS_TO_COMPLETION: bool = true;

    fn describe() -> Description {
        let summary = "Conversations of several keyspaces, gone for good; all of them granted, or nothing is done";
        Description::new(Self::NAME, "forgetting", summary)
            .body(reference("ShredAcross"))
            .prefer()
            .answers(200, "ShredAnswers")
            .refuses(&[Code::UnknownKeyspace])
            .refuses(&[Code::StoreUnavailable])
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        let budget = WaitBudget::for_call(call);
        let body: ShredAcross<'_> = json::parse(&call.body)?;
        let reason = reason(body.reason.as_deref())?;
        let items = items(body)?;
        let mut named = Vec::with_capacity(items.len());
        for item in &items {
            named.push(item.keyspace.parse().map_err(Problem::invalid)?);
        }
        check(call, &named)?;
        call.take(Kind::Shred, items.len())?;
        call.check_audit()?;
        let requests = items
            .iter()
            .map(|it| erasure_request(&it.conversation, it.id.as_deref()));
        let requests: Vec<Result<ErasureRequest, Problem>> = requests.collect();
        let mut outcome = shred(call, &budget, &named, requests, reason.clone()).await?;
        outcome.reason = reason;
        Ok(outcome)
    }
}

fn items(body: ShredAcross<'_>) -> Result<Vec<ShredAcrossItem<'_>>, Problem> {
    let items = match (body.items, body.conversation, body.keyspaces) {
        (Some(AtMost(items)), None, None) => items,
        (None, Some(conversation), Some(AtMost(keyspaces))) => {
            let item = |keyspace| ShredAcrossItem {
                keyspace,
                conversation: conversation.clone(),
                id: None,
            };
            keyspaces.into_iter().map(item).collect()
        }
        _ => return Err(Problem::invalid("items, or conversation and keyspaces")),
    };
    if items.is_empty() {
        return Err(Problem::invalid("at least 1 item"));
    }
    Ok(items)
}

/// Refuses without naming a keyspace, so that a caller learns nothing about keyspaces not granted to it.
fn check(call: &Call, named: &[KeyspaceName]) -> Result<(), Problem> {
    if !named.iter().all(|keyspace| call.grants(keyspace)) {
        let why = "not all of these keyspaces are granted";
        return Err(Problem::new(Code::Forbidden, why));
    }
    let keyring = call.service.node.key_state.keyring();
    for keyspace in named {
        keyring.keyspace(keyspace)?;
    }
    Ok(())
}

/// Shreds keyspace by keyspace. The shreds of one keyspace may wait for approval while others are accepted.
async fn shred(
    call: &Call,
    budget: &WaitBudget,
    named: &[KeyspaceName],
    requests: Vec<Result<ErasureRequest, Problem>>,
    reason: Option<Box<str>>,
) -> Result<Outcome, Problem> {
    let mut keyspaces: Vec<&KeyspaceName> = named.iter().collect();
    keyspaces.sort_unstable();
    keyspaces.dedup();
    let mut answers: Vec<Option<ItemAnswer>> = Vec::with_capacity(requests.len());
    let mut good: Vec<(usize, &KeyspaceName, ErasureRequest)> = Vec::new();
    for (place, (keyspace, request)) in named.iter().zip(requests).enumerate() {
        answers.push(match request {
            Ok(request) => {
                good.push((place, keyspace, request));
                None
            }
            Err(problem) => Some(ItemAnswer::refused(problem)),
        });
    }
    let mut replies = Vec::with_capacity(keyspaces.len());
    for keyspace in keyspaces {
        let of_keyspace = good.iter().filter(|(_, it, _)| *it == keyspace);
        let (places, requests): (Vec<usize>, Vec<ErasureRequest>) = of_keyspace
            .map(|(place, _, request)| (*place, request.clone()))
            .unzip();
        if !places.is_empty() {
            let check = approval_check(call, reason.clone());
            replies.push((places, check.shreds(keyspace, requests, false).await));
        }
    }
    let mut requests: Vec<ErasureId> = Vec::new();
    for (places, reply) in replies {
        let (of_reply, accepted) = of_reply(call, budget, places.len(), reply).await?;
        requests.extend(accepted);
        for (place, answer) in places.into_iter().zip(of_reply) {
            answers[place] = Some(answer);
        }
    }
    let items: Vec<ItemAnswer> = answers.into_iter().flatten().collect();
    let refused = items.iter().filter(|it| it.is_refused()).count();
    let mut outcome = Outcome::json(StatusCode::OK, &ItemsAnswer { items })?;
    outcome.requests = requests;
    outcome.refused = u32::try_from(refused).unwrap_or(u32::MAX);
    Ok(outcome)
}
