//! The commitment to a conversation. Whoever has the opening can show which conversation a receipt is
//! about. The receipt alone does not show it.

use sha2::{Digest, Sha256};

use crate::conversation::ConversationId;
use crate::grid::Generation;
use crate::identity::KeyspaceId;
use crate::keyspace::KeyVersion;
use crate::secret::Secret32;

/// Hash of an [`Opening`]; the salt hides a conversation id that could be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commitment([u8; 32]);

impl Commitment {
    /// From its 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The generation that a shred destroyed in one live key version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShreddedKey {
    /// The key version, as in wrapped keys.
    pub version: KeyVersion,
    /// The generation of the conversation, as in wrapped keys.
    pub generation: Generation,
}

/// What opens a commitment. The caller of the shred gets it, and it is kept nowhere else.
#[derive(Debug)]
pub struct Opening {
    /// The salt, derived from a secret of the service and the request (`docs/FORMATS.md`).
    pub salt: Secret32,
    /// The keyspace.
    pub keyspace: KeyspaceId,
    /// The conversation whose keys were destroyed.
    pub conversation: ConversationId,
    /// Which keys of the conversation were destroyed.
    pub keys: Vec<ShreddedKey>,
}

impl Opening {
    /// `SHA-256("lethe/v1/commitment" || salt || keyspace id || lp(conversation) || count of keys
    /// (2) || version (4) and generation (2) of each)`, `lp` a length of 2 bytes in front. At most
    /// 8 versions live.
    #[must_use]
    pub fn commitment(&self) -> Commitment {
        let conversation = self.conversation.as_bytes();
        let mut hash = Sha256::new();
        hash.update(b"lethe/v1/commitment");
        hash.update(self.salt.expose());
        hash.update(self.keyspace.as_bytes());
        hash.update((conversation.len() as u16).to_be_bytes());
        hash.update(conversation);
        hash.update((self.keys.len() as u16).to_be_bytes());
        for key in &self.keys {
            hash.update(key.version.number().to_be_bytes());
            hash.update(key.generation.number().to_be_bytes());
        }
        Commitment(hash.finalize().into())
    }
}
