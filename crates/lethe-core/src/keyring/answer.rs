//! What a request gets: a key, or why none.

use crate::audit::KeyEvent;
use crate::ports::EntropyError;
use crate::secret::Secret32;
use crate::time::{Expiry, Timestamp};
use crate::tree::{LeafId, PageReference};
use crate::wrapped_key::{InvalidWrappedKey, WrappedKey};

/// A new data key.
pub struct Issued {
    /// For the client, once recorded.
    pub data_key: Secret32,
    /// For the client to keep.
    pub wrapped_key: WrappedKey,
    /// Until when it may encrypt.
    pub use_until: Timestamp,
    /// Where it stands, for the audit record.
    pub event: KeyEvent,
    /// Its row; must still live when the key leaves.
    pub leaf: LeafId,
    /// Until when the client may keep the data key.
    pub cache_until: Timestamp,
}

/// A data key opened again.
pub struct Unwrapped {
    /// For the client, once recorded.
    pub data_key: Secret32,
    /// Where it stands, for the audit record.
    pub event: KeyEvent,
    /// Its row; must still live when the key leaves.
    pub leaf: LeafId,
    /// Until when the client may keep the data key.
    pub cache_until: Timestamp,
}

/// A data key under the newest version, with the same expiry.
pub struct Rewrapped {
    /// For the client to keep instead.
    pub wrapped_key: WrappedKey,
    /// Where it stands now, for the audit record.
    pub event: KeyEvent,
    /// Its row before and now; both must still live when it leaves.
    pub leaves: [LeafId; 2],
}

/// Why no data key leaves.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No keyspace of this name.
    #[error("no such keyspace")]
    UnknownKeyspace,
    /// The bucket's time has passed.
    #[error("the key has expired")]
    Expired(Expiry),
    /// The conversation's generation was shredded.
    #[error("the conversation was shredded")]
    Shredded,
    /// The version was dropped.
    #[error("the key version was retired")]
    VersionRetired,
    /// Not ours, altered, or of something else.
    #[error(transparent)]
    Invalid(#[from] InvalidWrappedKey),
    /// The bucket that a new key needs has not been made: the HSM has been away too long.
    #[error("no bucket is ready")]
    NoBucket,
    /// No generation of the conversation is left in the newest version; the next one has more.
    #[error("the conversation was shredded 65,536 times in this key version")]
    UsedUp,
    /// A shred of the conversation is being accepted: nobody can tell yet. Ask again in a moment.
    #[error("a shred of this conversation is being accepted")]
    Pending,
    /// Load this, and ask again.
    #[error("a page of the forgetting tree is not in memory")]
    Missing(Box<PageReference>),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}
