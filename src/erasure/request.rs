//! What a caller asks for, and what the acceptor answers.

use lethe_core::conversation::ConversationId;
use lethe_core::erasure::{AcceptedErasure, Erasure};
use lethe_core::keyring::KeyError;
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::StoreError;
use lethe_core::receipt::{ErasureId, Opening};

/// What a caller asks to be destroyed.
#[derive(Debug, Clone)]
pub enum ErasureRequest {
    /// A conversation. The id is the caller's; without one the acceptor draws it.
    Shred(Option<ErasureId>, ConversationId),
    /// The keyspace of the call, with all its versions.
    Erase,
    /// An old key version of the keyspace.
    Drop(KeyVersion),
    /// An erasure that waited for a second operator, as it was when it was asked for.
    Prepared(Box<Erasure>),
}

/// An erasure that is accepted: by this call, or by an earlier one with the same id.
#[derive(Debug)]
pub struct ErasureAnswer {
    /// The erasure with its number.
    pub accepted: AcceptedErasure,
    /// Opens the commitment of a shred for its caller; none for other erasures.
    pub opening: Option<Opening>,
}

/// Why an erasure was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The keyspace, the conversation or the version does not allow it.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The id belongs to another erasure, or to one that cannot be compared any more.
    #[error(
        "this id was used for another request, or for a request of a dropped key version, which cannot be compared: use a new id"
    )]
    IdTaken,
    /// The version to be dropped is the newest.
    #[error("the newest key version cannot be dropped: rotate first, or erase the keyspace")]
    NewestVersion,
    /// The keyspace has no such version.
    #[error("no such key version")]
    NoVersion,
    /// A second operator has to approve this new erasure before it can be accepted.
    #[error("a second operator has to approve it first")]
    NeedsApproval(Box<Erasure>),
    /// The approval was withdrawn, has ended, or was approved before.
    #[error("the approval does not wait any more")]
    NotWaiting,
    /// The keyspace has a key version that the waiting shred does not cover.
    #[error("the keyspace has a new key version since this was asked for: ask again")]
    Stale,
    /// As many approvals wait as may wait in all.
    #[error("too many requests wait for a second operator already")]
    TooManyWait,
    /// As many approvals of this client wait as it may have.
    #[error(
        "this client has as many requests waiting for a second operator as it may have: let them be approved, or withdraw some"
    )]
    TooManyOfClient,
    /// The store failed. The call can be sent again with the same id.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The service is stopping, or has too much to do.
    #[error("the service is stopping or overloaded")]
    Busy,
}
