//! The keys in memory: what an issue and an unwrap need, and nothing else. A snapshot never
//! changes; a change is a new snapshot, so a request sees one state of the world.

mod answer;
mod row;
mod shred;

use std::collections::HashMap;
use std::sync::Arc;

use crate::audit::KeyEvent;
use crate::conversation::ConversationId;
use crate::deployment_key::DeploymentKey;
use crate::grid;
use crate::identity::KeyspaceId;
use crate::keyspace::{KeyVersion, KeyspaceName, Policy, Retention};
use crate::page_cache::PageCache;
use crate::ports::Entropy;
use crate::refusals::Refusals;
use crate::secret::Secret32;
use crate::time::{Expiry, Timestamp};
use crate::tree::{Address, AddressKey, CoverRoot, LeafId, Pseudonym, Tree, TreeId};
use crate::wrapped_key::{Header, InvalidWrappedKey, WrappedKey};

pub use answer::{Issued, KeyError, Rewrapped, Unwrapped};

/// Milliseconds of a day.
const DAY: u64 = 86_400_000;

/// A key version in memory.
pub struct LiveVersion {
    /// Its tree; says its number.
    pub tree: TreeId,
    /// When it became the newest.
    pub created_at: Timestamp,
    /// Turns conversations into addresses.
    pub address_key: Arc<AddressKey>,
    /// Where the cover of its tree begins.
    pub root: CoverRoot,
}

/// A keyspace in memory.
pub struct LiveKeyspace {
    /// For its whole life.
    pub id: KeyspaceId,
    /// Its name.
    pub name: KeyspaceName,
    /// Counts for keys issued from now on.
    pub policy: Policy,
    /// When the last `cache_until` under earlier settings can have ended.
    pub leases_until: Timestamp,
    /// When the last key issued under earlier settings has expired.
    pub expiries_until: Timestamp,
    /// Older versions are refused.
    pub minimum_version: KeyVersion,
    /// Oldest first, never empty.
    pub versions: Vec<Arc<LiveVersion>>,
    /// For the ids of shreds; none only until an earlier release's deployment has one.
    pub deployment_key: Option<DeploymentKey>,
}

/// All that opens now.
pub struct Keyring {
    /// Sequence of the batch that made this state.
    pub sequence: u64,
    /// By name.
    pub keyspaces: HashMap<KeyspaceName, Arc<LiveKeyspace>>,
    /// Bucket keys by expiry.
    pub buckets: HashMap<Expiry, Arc<Secret32>>,
    /// Pages in memory; of this state and of others, told apart by their keys.
    pub pages: Arc<PageCache>,
    /// What is refused already.
    pub refusals: Arc<Refusals>,
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

    /// Makes a data key for a conversation under the newest version, in its current generation; its
    /// messages live for `retention`, one of the keyspace's.
    ///
    /// # Errors
    /// [`KeyError`]; after [`KeyError::Missing`] ask again.
    pub fn issue(
        &self,
        keyspace: &LiveKeyspace,
        conversation: &ConversationId,
        retention: Retention,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Issued, KeyError> {
        let version = self.newest(keyspace)?;
        let placement = grid::place(&keyspace.policy, retention, now);
        let bucket = self
            .buckets
            .get(&placement.expiry)
            .ok_or(KeyError::NoBucket)?;
        let row = self.current_row(version, conversation)?;
        let header = row.header(placement.expiry);
        let wrapping = row.wrapping_key(bucket, conversation, header.expiry);
        let data_key = Secret32::try_filled(|bytes| entropy.fill(bytes))?;
        Ok(Issued {
            wrapped_key: WrappedKey::wrap(header, &wrapping, &data_key),
            data_key,
            use_until: placement.use_until,
            event: event(version, conversation, header, now),
            leaf: row.leaf,
            cache_until: cache_until(&keyspace.policy, header.expiry, now),
        })
    }

    /// Opens a wrapped key. What the header says is judged first, so an altered header may be
    /// answered as expired, shredded or retired.
    ///
    /// # Errors
    /// [`KeyError::Expired`], [`KeyError::VersionRetired`], [`KeyError::Shredded`], or
    /// [`KeyError::Invalid`] for whatever does not open, told apart from nothing else. After
    /// [`KeyError::Missing`] ask again.
    pub fn unwrap(
        &self,
        keyspace: &LiveKeyspace,
        conversation: &ConversationId,
        wrapped: &WrappedKey,
        now: Timestamp,
    ) -> Result<Unwrapped, KeyError> {
        let header = wrapped.header();
        let (version, row) = self.row_of(keyspace, conversation, header, now)?;
        // An expiry that no bucket has was never issued.
        let bucket = self.buckets.get(&header.expiry).ok_or(InvalidWrappedKey)?;
        let wrapping = row.wrapping_key(bucket, conversation, header.expiry);
        Ok(Unwrapped {
            data_key: wrapped.unwrap(&wrapping)?,
            event: event(version, conversation, header, now),
            leaf: row.leaf,
            cache_until: cache_until(&keyspace.policy, header.expiry, now),
        })
    }

    /// Wraps a data key under the newest version and the current generation, with the same
    /// expiry. Both ends are of this one state: else it would carry a shredded data key under a
    /// living leaf.
    ///
    /// # Errors
    /// As [`Self::unwrap`], and [`KeyError::UsedUp`].
    pub fn rewrap(
        &self,
        keyspace: &LiveKeyspace,
        conversation: &ConversationId,
        wrapped: &WrappedKey,
        now: Timestamp,
    ) -> Result<Rewrapped, KeyError> {
        let opened = self.unwrap(keyspace, conversation, wrapped, now)?;
        let expiry = wrapped.header().expiry;
        let version = self.newest(keyspace)?;
        let bucket = self.buckets.get(&expiry).ok_or(InvalidWrappedKey)?;
        let row = self.current_row(version, conversation)?;
        let wrapping = row.wrapping_key(bucket, conversation, expiry);
        Ok(Rewrapped {
            wrapped_key: WrappedKey::wrap(row.header(expiry), &wrapping, &opened.data_key),
            event: event(version, conversation, row.header(expiry), now),
            leaves: [opened.leaf, row.leaf],
        })
    }
}

impl LiveKeyspace {
    /// When the last key of a version has expired that was replaced at `replaced_at`.
    #[must_use]
    pub fn last_expiry(&self, replaced_at: Timestamp) -> Timestamp {
        let life = self.policy.longest_life_seconds() * 1_000;
        replaced_at.saturating_add(life).max(self.expiries_until)
    }
}

impl LiveVersion {
    const fn tree(&self) -> Tree<'_> {
        Tree {
            id: self.tree,
            root: &self.root,
        }
    }

    const fn leaf(&self, address: Address) -> LeafId {
        LeafId {
            tree: self.tree,
            address,
        }
    }
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
