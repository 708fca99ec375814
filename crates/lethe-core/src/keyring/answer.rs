//! The results of issue, unwrap and rewrap.

use crate::audit::KeyEvent;
use crate::ports::EntropyError;
use crate::secret::Secret32;
use crate::time::{Expiry, Timestamp};
use crate::tree::{LeafId, PageReference};
use crate::wrapped_key::{InvalidWrappedKey, WrappedKey};

/// A new data key.
pub struct Issued {
    /// The plain key. It may leave after the audit record is written.
    pub data_key: Secret32,
    /// The wrapped key, which the client stores.
    pub wrapped_key: WrappedKey,
    /// Until when the client may encrypt with it.
    pub use_until: Timestamp,
    /// Version, generation and expiry, for the audit record.
    pub event: KeyEvent,
    /// Its leaf. It is checked again just before the key leaves.
    pub leaf: LeafId,
    /// Until when the client may keep the plain key.
    pub cache_until: Timestamp,
}

/// A data key that was unwrapped.
pub struct Unwrapped {
    /// The plain key. It may leave after the audit record is written.
    pub data_key: Secret32,
    /// Version, generation and expiry, for the audit record.
    pub event: KeyEvent,
    /// Its leaf. It is checked again just before the key leaves.
    pub leaf: LeafId,
    /// Until when the client may keep the plain key.
    pub cache_until: Timestamp,
}

/// A data key that was wrapped again with the newest version.
pub struct Rewrapped {
    /// The new wrapped key, which replaces the old one.
    pub wrapped_key: WrappedKey,
    /// Its new version, generation and expiry, for the audit record.
    pub event: KeyEvent,
    /// Its old and its new leaf. Both are checked again just before the key leaves.
    pub leaves: [LeafId; 2],
}

/// Why there is no data key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No keyspace of this name.
    #[error("no such keyspace")]
    UnknownKeyspace,
    /// The key has expired.
    #[error("the key has expired")]
    Expired(Expiry),
    /// The generation of the conversation was shredded.
    #[error("the conversation was shredded")]
    Shredded,
    /// The version was dropped.
    #[error("the key version was retired")]
    VersionRetired,
    /// The wrapped key does not open: it is altered, or of another conversation or deployment.
    #[error(transparent)]
    Invalid(#[from] InvalidWrappedKey),
    /// The bucket for a new key is not made yet, because the HSM has been away too long.
    #[error("no bucket is ready")]
    NoBucket,
    /// The conversation has no generation left in the newest version. A rotation gives new ones.
    #[error("the conversation was shredded 65,536 times in this key version")]
    UsedUp,
    /// A shred of the conversation is being written. The call can be sent again.
    #[error("a shred of this conversation is being accepted")]
    Pending,
    /// This page has to be loaded.
    #[error("a page of the forgetting tree is not in memory")]
    Missing(Box<PageReference>),
    /// There are no random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}
