use lethe_core::conversation::ConversationId;
use lethe_core::erasure::{AcceptedErasure, Erasure};
use lethe_core::keyring::KeyError;
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::StoreError;
use lethe_core::receipt::{ErasureId, Opening};

/// What a caller wants to be forgotten.
#[derive(Debug, Clone)]
pub enum ErasureRequest {
    /// A conversation; the id, where the caller chose one.
    Shred(Option<ErasureId>, ConversationId),
    /// The keyspace.
    Erase,
    /// An old version of it.
    Drop(KeyVersion),
    /// An erasure that was prepared earlier, and waited.
    Prepared(Box<Erasure>),
}

/// An erasure that was accepted, now or earlier under the same id.
#[derive(Debug)]
pub struct ErasureAnswer {
    /// The erasure.
    pub accepted: AcceptedErasure,
    /// Of a shred.
    pub opening: Option<Opening>,
}

/// Why nothing was accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The keyspace, the conversation, or the version.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The id was used for something else, or for what cannot be compared any more.
    #[error(
        "this id was used for another request, or for one whose key version is gone so that nobody can tell: take a new id"
    )]
    IdTaken,
    /// The newest version cannot be dropped.
    #[error("the newest key version cannot be dropped: rotate first, or erase the keyspace")]
    NewestVersion,
    /// No such version.
    #[error("no such key version")]
    NoVersion,
    /// A second operator has to approve this new erasure first: it was not accepted.
    #[error("a second operator has to approve it")]
    NeedsApproval(Box<Erasure>),
    /// Its approval was withdrawn, has ended, or was given before.
    #[error("the approval does not wait any more")]
    NotWaiting,
    /// It was prepared under fewer key versions than live now.
    #[error("a new key version came since it was asked for: ask again")]
    Stale,
    /// Nothing more may wait for a second operator.
    #[error("too much waits for a second operator already")]
    TooManyWait,
    /// Nothing more of this client's.
    #[error(
        "this client has as much waiting for a second operator as it may: have it approved, or withdraw some"
    )]
    TooManyOfClient,
    /// The store, or randomness. Sent again under the same id it does no harm.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The service is stopping, or more waits than it can do.
    #[error("the service is stopping or overloaded")]
    Busy,
}
