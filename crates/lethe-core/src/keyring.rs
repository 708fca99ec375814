//! The keys in memory: what an issue and an unwrap need, and nothing else. A snapshot never
//! changes; a change is a new snapshot, so a request sees one state of the world.

use std::collections::HashMap;
use std::sync::Arc;

use crate::audit::KeyEvent;
use crate::conversation::ConversationId;
use crate::grid::{self, Binding, Generation};
use crate::identity::KeyspaceId;
use crate::keyspace::{KeyVersion, KeyspaceName, Policy};
use crate::ports::{Entropy, EntropyError};
use crate::secret::Secret32;
use crate::time::{Expiry, Timestamp};
use crate::tree::{AddressKey, Cover, Pseudonym};
use crate::wrapped_key::{Header, InvalidWrappedKey, WrappedKey};

/// Milliseconds of a day.
const DAY: u64 = 86_400_000;

/// A key version in memory.
pub struct LiveVersion {
    /// Its number.
    pub version: KeyVersion,
    /// When it became the newest.
    pub created_at: Timestamp,
    /// Turns conversations into addresses.
    pub address_key: AddressKey,
    /// Its forgetting tree.
    pub cover: Cover,
}

/// A keyspace in memory.
pub struct LiveKeyspace {
    /// For its whole life.
    pub id: KeyspaceId,
    /// Its name.
    pub name: KeyspaceName,
    /// Counts for keys issued from now on.
    pub policy: Policy,
    /// Oldest first, never empty.
    pub versions: Vec<Arc<LiveVersion>>,
}

/// All that opens now.
#[derive(Default)]
pub struct Keyring {
    /// By name.
    pub keyspaces: HashMap<KeyspaceName, Arc<LiveKeyspace>>,
    /// Bucket keys by expiry.
    pub buckets: HashMap<Expiry, Arc<Secret32>>,
}

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
    /// Until when the client may keep the data key.
    pub cache_until: Timestamp,
}

/// A data key opened again.
pub struct Unwrapped {
    /// For the client, once recorded.
    pub data_key: Secret32,
    /// Where it stands, for the audit record.
    pub event: KeyEvent,
    /// Until when the client may keep the data key.
    pub cache_until: Timestamp,
}

/// Why no data key leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No keyspace of this name.
    #[error("no such keyspace")]
    UnknownKeyspace,
    /// The bucket's time has passed.
    #[error("the key has expired")]
    Expired,
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
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

impl Keyring {
    /// A keyspace by name.
    ///
    /// # Errors
    /// [`KeyError::UnknownKeyspace`].
    pub fn keyspace(&self, name: &KeyspaceName) -> Result<&LiveKeyspace, KeyError> {
        let found = self.keyspaces.get(name).ok_or(KeyError::UnknownKeyspace)?;
        Ok(found)
    }

    /// Makes a data key for a conversation under the newest version.
    ///
    /// # Errors
    /// [`KeyError::Shredded`] when no generation is left, [`KeyError::NoBucket`], or no randomness.
    pub fn issue(
        &self,
        keyspace: &LiveKeyspace,
        conversation: &ConversationId,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Issued, KeyError> {
        let version = keyspace.versions.last().ok_or(KeyError::VersionRetired)?;
        let placement = grid::place(&keyspace.policy, now);
        let bucket = self
            .buckets
            .get(&placement.expiry)
            .ok_or(KeyError::NoBucket)?;
        let header = Header {
            version: version.version,
            generation: Generation::FIRST,
            expiry: placement.expiry,
        };
        let wrapping = wrapping_key(keyspace, version, bucket, conversation, header)?;
        let data_key = Secret32::try_filled(|bytes| entropy.fill(bytes))?;
        Ok(Issued {
            wrapped_key: WrappedKey::wrap(header, &wrapping, &data_key),
            data_key,
            use_until: placement.use_until,
            event: event(version, conversation, header, now),
            cache_until: cache_until(&keyspace.policy, header.expiry, now),
        })
    }

    /// Opens a wrapped key. What the header says is judged first, so an altered header may be
    /// answered as expired or retired.
    ///
    /// # Errors
    /// [`KeyError::Expired`], [`KeyError::VersionRetired`], [`KeyError::Shredded`], or
    /// [`KeyError::Invalid`] for whatever does not open, told apart from nothing else.
    pub fn unwrap(
        &self,
        keyspace: &LiveKeyspace,
        conversation: &ConversationId,
        wrapped: &WrappedKey,
        now: Timestamp,
    ) -> Result<Unwrapped, KeyError> {
        let header = wrapped.header();
        if header.expiry.has_passed(now) {
            return Err(KeyError::Expired);
        }
        let version = keyspace.version(header.version)?;
        // An expiry that no bucket has was never issued.
        let bucket = self.buckets.get(&header.expiry).ok_or(InvalidWrappedKey)?;
        let wrapping = wrapping_key(keyspace, version, bucket, conversation, header)?;
        Ok(Unwrapped {
            data_key: wrapped.unwrap(&wrapping)?,
            event: event(version, conversation, header, now),
            cache_until: cache_until(&keyspace.policy, header.expiry, now),
        })
    }
}

impl LiveKeyspace {
    /// A live version by number: a smaller number that is gone was retired, a larger one never was.
    fn version(&self, number: KeyVersion) -> Result<&LiveVersion, KeyError> {
        let newest = self.versions.last().map(|version| version.version);
        match self
            .versions
            .iter()
            .find(|version| version.version == number)
        {
            Some(version) => Ok(version),
            None if Some(number) < newest => Err(KeyError::VersionRetired),
            None => Err(InvalidWrappedKey.into()),
        }
    }
}

fn wrapping_key(
    keyspace: &LiveKeyspace,
    version: &LiveVersion,
    bucket: &Secret32,
    conversation: &ConversationId,
    header: Header,
) -> Result<Secret32, KeyError> {
    let address = version.address_key.address(conversation, header.generation);
    let conversation_key = version.cover.leaf(address).ok_or(KeyError::Shredded)?;
    let binding = Binding {
        keyspace: keyspace.id,
        version: version.version,
        conversation,
        generation: header.generation,
        expiry: header.expiry,
    };
    Ok(grid::wrapping_key(&conversation_key, bucket, &binding))
}

fn cache_until(policy: &Policy, expiry: Expiry, now: Timestamp) -> Timestamp {
    now.saturating_add(policy.cache_ttl().as_millis())
        .min(expiry.instant())
}

fn event(
    version: &LiveVersion,
    conversation: &ConversationId,
    header: Header,
    now: Timestamp,
) -> KeyEvent {
    KeyEvent {
        pseudonym: pseudonym(version, conversation, now),
        version: header.version,
        generation: header.generation,
        expiry: header.expiry,
    }
}

fn pseudonym(version: &LiveVersion, conversation: &ConversationId, now: Timestamp) -> Pseudonym {
    let day = u32::try_from(now.as_millis() / DAY).unwrap_or(u32::MAX);
    version.address_key.pseudonym(conversation, day)
}
