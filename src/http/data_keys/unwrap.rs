use std::borrow::Cow;

use hyper::StatusCode;
use lethe_core::conversation::ConversationId;
use lethe_core::keyring::KeyError;
use lethe_core::wrapped_key::WrappedKey;
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

/// `POST /v1/keyspaces/{keyspace}/data-keys/unwrap`: opens a wrapped key and returns its data key.
pub(crate) struct Unwrap;

/// Asks for the data key of a wrapped key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UnwrapItem<'a> {
    /// The conversation that the key was issued for.
    #[serde(borrow)]
    #[schema(
        min_length = 1,
        max_length = 256,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"
    )]
    conversation: Cow<'a, str>,
    /// The wrapped key, from an issue or a rewrap.
    #[serde(borrow)]
    wrapped_key: Cow<'a, str>,
    /// What it is for; kept for policies to come, at most 64 characters.
    #[serde(default, borrow)]
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"
    )]
    purpose: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct UnwrapAnswer<'a> {
    conversation: &'a str,
    data_key: Encoded<'a>,
    version: u32,
    cache_until: Rfc3339,
    expires_at: Rfc3339,
}

impl Item for UnwrapItem<'_> {
    const KIND: Kind = Kind::Unwrap;

    fn conversation(&self) -> &str {
        &self.conversation
    }
}

impl Endpoint for Unwrap {
    const NAME: &'static str = "unwrap";
    const ROLES: &'static [Role] = &[Role::MessageServer];
    const BODY: bool = true;
    const COUNTS_ITEMS: bool = true;

    fn describe() -> Description {
        Description::new(Self::NAME, "data keys", "The data key of a wrapped key")
            .keyspace()
            .body(items("Unwrap"))
            .answers(200, "UnwrapAnswer")
            .answers(200, "UnwrapAnswers")
            .refuses(&[Code::InvalidWrappedKey, Code::Shredded, Code::Expired])
            .refuses(&[Code::VersionRetired])
            .refuses(&[Code::StoreUnavailable, Code::ClockSuspect])
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        let answer = |item: &UnwrapItem<'_>, snapshot: &Snapshot<'_>, body: &mut Vec<u8>| {
            check_purpose(item.purpose.as_deref())?;
            let conversation =
                ConversationId::try_from(&*item.conversation).map_err(Problem::invalid)?;
            let wrapped: WrappedKey = item.wrapped_key.parse().map_err(KeyError::Invalid)?;
            let Snapshot { keyring, keyspace } = snapshot;
            let opened = keyring.unwrap(keyspace, &conversation, &wrapped, call.now)?;
            call.check_expiry(opened.event.expiry)?;
            let answer = UnwrapAnswer {
                conversation: conversation.as_str(),
                data_key: Encoded(&opened.data_key),
                version: opened.event.version.number(),
                cache_until: Rfc3339(opened.cache_until),
                expires_at: Rfc3339(opened.event.expiry.instant()),
            };
            serde_json::to_writer(body, &answer).map_err(Problem::invalid)?;
            Ok(IssuedKey {
                event: opened.event,
                leaves: [opened.leaf; 2],
            })
        };
        batch::run(call, StatusCode::OK, 512, answer).await
    }

    fn released(call: &Call, outcome: &Outcome) {
        for (tree, count) in batch::versions(outcome) {
            let uses = &call.service.node.key_uses;
            uses.unwrapped(tree, &call.client, count, call.now);
        }
    }
}

fn check_purpose(purpose: Option<&str>) -> Result<(), Problem> {
    match purpose {
        Some(text)
            if text.is_empty()
                || text.chars().count() > 64
                || text.chars().any(char::is_control) =>
        {
            Err(Problem::invalid(
                "a purpose is 1 to 64 characters, without control characters",
            ))
        }
        _ => Ok(()),
    }
}
