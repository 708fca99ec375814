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
    // Another conversation's receipt would be taken for this one's.
    let opening = opening(keyspace, request, conversation).ok_or(NotAccepted::IdTaken)?;
    Ok(Admitted {
        accepted: earlier.clone(),
        opening: Some(opening),
    })
}

/// The version whose address key made the tag, where an earlier release accepted the request: the
/// newest then.
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
    let Wish::Shred { tag, .. } = &request.wish else {
        return None;
    };
    if request.keyspace != keyspace.id {
        return None;
    }
    let id = request.id;
    let ours = keyspace.deployment_key.as_ref();
    let ours = ours.filter(|key| key.idempotency_tag(id, conversation) == *tag);
    let salt = match ours {
        Some(key) => key.commitment_salt(id, conversation),
        None => {
            let key = &tag_version(keyspace, request)?.address_key;
            (key.idempotency_tag(id, conversation) == *tag)
                .then(|| key.commitment_salt(id, conversation))?
        }
    };
    Some(Opening {
        salt,
        keyspace: keyspace.id,
        conversation: conversation.clone(),
        keys: request.shredded_keys(),
    })
}

/// Whether a request that was prepared is the one that bears its id already.
#[must_use]
pub fn is_same(earlier: &Request, prepared: &Request) -> bool {
    let wish = match (&earlier.wish, &prepared.wish) {
        (Wish::Shred { tag: one, .. }, Wish::Shred { tag: other, .. }) => one == other,
        (one, other) => one == other,
    };
    earlier.keyspace == prepared.keyspace && wish
}
