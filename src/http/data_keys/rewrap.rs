use std::borrow::Cow;

use hyper::StatusCode;
use lethe_core::conversation::ConversationId;
use lethe_core::keyring::KeyError;
use lethe_core::wrapped_key::WrappedKey;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::batch::{self, IssuedKey, Item, Snapshot};
use crate::http::call::{Call, Endpoint, Outcome};
use crate::http::openapi::{Description, items};
use crate::http::problem::{Code, Problem};
use crate::http::times::Rfc3339;
use crate::identity::Role;
use crate::limits::Kind;

/// `POST /v1/keyspaces/{keyspace}/data-keys/rewrap`: wraps the same data key under the newest key version.
pub(crate) struct Rewrap;

/// Asks for a wrapped key under the newest version, with the same expiry.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RewrapItem<'a> {
    /// The conversation that the key was issued for.
    #[serde(borrow)]
    #[schema(
        min_length = 1,
        max_length = 256,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"
    )]
    conversation: Cow<'a, str>,
    /// The wrapped key, from an issue or an earlier rewrap.
    #[serde(borrow)]
    wrapped_key: Cow<'a, str>,
}

#[derive(Serialize)]
struct RewrapAnswer<'a> {
    conversation: &'a str,
    wrapped_key: String,
    version: u32,
    expires_at: Rfc3339,
}

impl Item for RewrapItem<'_> {
    const KIND: Kind = Kind::Rewrap;

    fn conversation(&self) -> &str {
        &self.conversation
    }
}

impl Endpoint for Rewrap {
    const NAME: &'static str = "rewrap";
    const ROLES: &'static [Role] = &[Role::MessageServer, Role::Operator];
    const BODY: bool = true;
    const COUNTS_ITEMS: bool = true;

    fn describe() -> Description {
        let summary = "The same data key under the newest version, same expiry";
        Description::new(Self::NAME, "data keys", summary)
            .keyspace()
            .body(items("Rewrap"))
            .answers(200, "RewrapAnswer")
            .answers(200, "RewrapAnswers")
            .refuses(&[Code::InvalidWrappedKey, Code::Conflict])
            .refuses(&[Code::Shredded, Code::Expired, Code::VersionRetired])
            .refuses(&[Code::StoreUnavailable])
            .refuses(&[Code::ClockSuspect])
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        let answer = |item: &RewrapItem<'_>, snapshot: &Snapshot<'_>, body: &mut Vec<u8>| {
            let conversation =
                ConversationId::try_from(&*item.conversation).map_err(Problem::invalid)?;
            let wrapped: WrappedKey = item.wrapped_key.parse().map_err(KeyError::Invalid)?;
            let Snapshot { keyring, keyspace } = snapshot;
            let rewrapped = keyring.rewrap(keyspace, &conversation, &wrapped, call.now)?;
            call.check_expiry(rewrapped.event.expiry)?;
            let answer = RewrapAnswer {
                conversation: conversation.as_str(),
                wrapped_key: rewrapped.wrapped_key.to_string(),
                version: rewrapped.event.version.number(),
                expires_at: Rfc3339(rewrapped.event.expiry.instant()),
            };
            serde_json::to_writer(body, &answer).map_err(Problem::invalid)?;
            Ok(IssuedKey {
                event: rewrapped.event,
                leaves: rewrapped.leaves,
            })
        };
        batch::run(call, StatusCode::OK, 512, answer).await
    }
}
