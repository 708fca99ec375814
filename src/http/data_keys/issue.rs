use std::borrow::Cow;

use hyper::StatusCode;
use lethe_core::conversation::ConversationId;
use lethe_core::duration::Span;
use lethe_core::keyspace::{Policy, Retention};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::batch::{self, IssuedKey, Item, Snapshot};
use super::encoded::Encoded;
use crate::http::call::{Call, Endpoint, Outcome};
use crate::http::openapi::{Description, items};
use crate::http::problem::{Code, Problem};
use crate::http::times::Rfc3339;
use crate::identity::Role;
use crate::limits::Kind;

/// `POST /v1/keyspaces/{keyspace}/data-keys`: issues a new data key, plain and wrapped.
pub(crate) struct Issue;

/// Asks for a data key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssueItem<'a> {
    /// 1 to 256 bytes of UTF-8 without control characters.
    #[serde(borrow)]
    #[schema(
        min_length = 1,
        max_length = 256,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"
    )]
    conversation: Cow<'a, str>,
    /// With `false` the answer has the wrapped key only.
    #[serde(default)]
    plaintext: Option<bool>,
    /// How long its messages live: one of the keyspace's `retentions`. Without it the keyspace's
    /// `retention` counts.
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>, pattern = "^[0-9]+(ms|s|m|h|d)$")]
    retention: Option<Cow<'a, str>>,
}

impl IssueItem<'_> {
    fn retention(&self, policy: &Policy) -> Result<Retention, Problem> {
        let Some(text) = &self.retention else {
            return Ok(policy.retention());
        };
        let span = text.parse::<Span>();
        let span = span.map_err(|error| Problem::invalid(format_args!("retention: {error}")))?;
        let other = "retention is none that this keyspace offers";
        policy.choose(span).ok_or_else(|| Problem::invalid(other))
    }
}

#[derive(Serialize)]
struct IssueAnswer<'a> {
    conversation: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_key: Option<Encoded<'a>>,
    wrapped_key: String,
    version: u32,
    use_until: Rfc3339,
    cache_until: Rfc3339,
    expires_at: Rfc3339,
}

impl Item for IssueItem<'_> {
    const KIND: Kind = Kind::Issue;

    fn conversation(&self) -> &str {
        &self.conversation
    }
}

impl Endpoint for Issue {
    const NAME: &'static str = "issue";
    const ROLES: &'static [Role] = &[Role::MessageServer];
    const BODY: bool = true;
    const COUNTS_ITEMS: bool = true;

    fn describe() -> Description {
        Description::new(Self::NAME, "data keys", "A new data key")
            .keyspace()
            .body(items("Issue"))
            .answers(201, "IssueAnswer")
            .answers(200, "IssueAnswers")
            .refuses(&[Code::Conflict, Code::Shredded, Code::Expired])
            .refuses(&[Code::HsmUnavailable])
            .refuses(&[Code::StoreUnavailable, Code::ClockSuspect])
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        call.check_clock()?;
        let answer = |item: &IssueItem<'_>, snapshot: &Snapshot<'_>, body: &mut Vec<u8>| {
            let conversation =
                ConversationId::try_from(&*item.conversation).map_err(Problem::invalid)?;
            let entropy = &call.service.entropy;
            let Snapshot { keyring, keyspace } = snapshot;
            let retention = item.retention(&keyspace.policy)?;
            let issued = keyring.issue(keyspace, &conversation, retention, call.now, entropy)?;
            let answer = IssueAnswer {
                conversation: conversation.as_str(),
                data_key: item
                    .plaintext
                    .unwrap_or(true)
                    .then_some(Encoded(&issued.data_key)),
                wrapped_key: issued.wrapped_key.to_string(),
                version: issued.event.version.number(),
                use_until: Rfc3339(issued.use_until),
                cache_until: Rfc3339(issued.cache_until),
                expires_at: Rfc3339(issued.event.expiry.instant()),
            };
            serde_json::to_writer(body, &answer).map_err(Problem::invalid)?;
            Ok(IssuedKey {
                event: issued.event,
                leaves: [issued.leaf; 2],
            })
        };
        batch::run(call, StatusCode::CREATED, 768, answer).await
    }

    fn released(call: &Call, outcome: &Outcome) {
        for (tree, count) in batch::versions(outcome) {
            let uses = &call.service.node.key_uses;
            uses.issued(tree, &call.client, count, call.now);
        }
    }
}
