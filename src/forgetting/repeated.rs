//! An id that comes again: is it the same request, and what opens its commitment?

use lethe_core::conversation::ConversationId;
use lethe_core::keyring::{LiveKeyspace, LiveVersion};
use lethe_core::receipt::Opening;
use lethe_core::request::{AcceptedRequest, Request, Wish};

use super::wanted::{Admitted, NotAccepted};

/// The answer to an id that comes again.
pub(super) fn again(
    keyspace: &LiveKeyspace,
    earlier: &AcceptedRequest,
    conversation: &ConversationId,
) -> Result<Admitted, NotAccepted> {
    let request = &earlier.request;
    let Wish::Shred { .. } = &request.wish else {
        return Err(NotAccepted::IdTaken);
    };
    if request.keyspace != keyspace.id {
        return Err(NotAccepted::IdTaken);
    }
    // With the version the tag's key is gone, and nobody can tell any more: another conversation's
    // receipt would be taken for this one's.
    let opening = opening(keyspace, request, conversation).ok_or(NotAccepted::IdTaken)?;
    Ok(Admitted {
        accepted: earlier.clone(),
        opening: Some(opening),
    })
}

/// The version whose address key made the request's tag: the newest at its acceptance.
fn tag_version<'k>(keyspace: &'k LiveKeyspace, request: &Request) -> Option<&'k LiveVersion> {
    let newest = request.shredded_keys().last()?.version;
    let found = keyspace
        .versions
        .iter()
        .find(|it| it.tree.version == newest);
    found.map(AsRef::as_ref)
}

/// Opens the request's commitment, if it is of this conversation.
pub(super) fn opening(
    keyspace: &LiveKeyspace,
    request: &Request,
    conversation: &ConversationId,
) -> Option<Opening> {
    let version = tag_version(keyspace, request)?;
    let Wish::Shred { tag, .. } = &request.wish else {
        return None;
    };
    if version
        .address_key
        .idempotency_tag(request.id, conversation)
        != *tag
    {
        return None;
    }
    Some(Opening {
        salt: version
            .address_key
            .commitment_salt(request.id, conversation),
        keyspace: keyspace.id,
        conversation: conversation.clone(),
        keys: request.shredded_keys(),
    })
}

/// Whether a request that was prepared is the one that bears its id already. The tags of a shred
/// agree when both were made under the same key versions.
#[must_use]
pub fn is_same(earlier: &Request, prepared: &Request) -> bool {
    let versions = |request: &Request| request.shredded_keys().last().map(|key| key.version);
    let wish = match (&earlier.wish, &prepared.wish) {
        (Wish::Shred { tag: one, .. }, Wish::Shred { tag: other, .. }) => {
            one == other || versions(earlier) != versions(prepared)
        }
        (one, other) => one == other,
    };
    earlier.keyspace == prepared.keyspace && wish
}
