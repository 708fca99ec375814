//! Ids that are sent again: whether the erasure is the same, and what opens its commitment.

use lethe_core::conversation::ConversationId;
use lethe_core::erasure::{AcceptedErasure, Erasure, ErasureKind};
use lethe_core::keyring::{LiveKeyspace, LiveVersion};
use lethe_core::receipt::Opening;

use super::request::{AcceptError, ErasureAnswer};

/// The first answer again, for the id of an accepted shred.
pub(super) fn answer_again(
    keyspace: &LiveKeyspace,
    earlier: &AcceptedErasure,
    conversation: &ConversationId,
) -> Result<ErasureAnswer, AcceptError> {
    let erasure = &earlier.erasure;
    let ErasureKind::Shred { .. } = &erasure.kind else {
        return Err(AcceptError::IdTaken);
    };
    if erasure.keyspace != keyspace.id {
        return Err(AcceptError::IdTaken);
    }
    // Else the caller would take the receipt of another conversation for its own.
    let opening = open_commitment(keyspace, erasure, conversation).ok_or(AcceptError::IdTaken)?;
    Ok(ErasureAnswer {
        accepted: earlier.clone(),
        opening: Some(opening),
    })
}

/// The version whose address key made the tag, if an earlier release accepted the erasure: the version
/// that was the newest then.
fn tag_version<'k>(keyspace: &'k LiveKeyspace, erasure: &Erasure) -> Option<&'k LiveVersion> {
    let newest = erasure.shredded_keys().last()?.version;
    let found = keyspace
        .versions
        .iter()
        .find(|it| it.tree.version == newest);
    found.map(AsRef::as_ref)
}

/// What opens the commitment of a shred; none if the shred is of another conversation.
pub(super) fn open_commitment(
    keyspace: &LiveKeyspace,
    erasure: &Erasure,
    conversation: &ConversationId,
) -> Option<Opening> {
    let ErasureKind::Shred { tag, .. } = &erasure.kind else {
        return None;
    };
    if erasure.keyspace != keyspace.id {
        return None;
    }
    let id = erasure.id;
    let ours = keyspace.deployment_key.as_ref();
    let ours = ours.filter(|key| key.idempotency_tag(id, conversation) == *tag);
    let salt = match ours {
        Some(key) => key.commitment_salt(id, conversation),
        None => {
            let key = &tag_version(keyspace, erasure)?.address_key;
            (key.idempotency_tag(id, conversation) == *tag)
                .then(|| key.commitment_salt(id, conversation))?
        }
    };
    Some(Opening {
        salt,
        keyspace: keyspace.id,
        conversation: conversation.clone(),
        keys: erasure.shredded_keys(),
    })
}

/// Whether a prepared erasure is the same as the one that has its id already.
#[must_use]
pub fn is_same(earlier: &Erasure, prepared: &Erasure) -> bool {
    let kind = match (&earlier.kind, &prepared.kind) {
        (ErasureKind::Shred { tag: one, .. }, ErasureKind::Shred { tag: other, .. }) => {
            one == other
        }
        (one, other) => one == other,
    };
    earlier.keyspace == prepared.keyspace && kind
}
