//! The keys in memory that issue, unwrap and rewrap need. A keyring never changes: a change makes a new
//! keyring, so each call works on one state.

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

/// Milliseconds in a day.
const DAY: u64 = 86_400_000;

/// A key version in memory.
pub struct LiveVersion {
    /// The id of its tree, which has the version number.
    pub tree: TreeId,
    /// When it became the newest version.
    pub created_at: Timestamp,
    /// Maps conversations to addresses.
    pub address_key: Arc<AddressKey>,
    /// The top of the cover of its tree.
    pub root: CoverRoot,
}

/// A keyspace in memory.
pub struct LiveKeyspace {
    /// Its id, which never changes.
    pub id: KeyspaceId,
    /// Its name.
    pub name: KeyspaceName,
    /// The settings for keys that are issued from now on.
    pub policy: Policy,
    /// The latest `cache_until` of a key that was issued under earlier settings.
    pub leases_until: Timestamp,
    /// The latest expiry of a key that was issued under earlier settings.
    pub expiries_until: Timestamp,
    /// Keys of older versions are refused.
    pub minimum_version: KeyVersion,
    /// The live versions, oldest first, never empty.
    pub versions: Vec<Arc<LiveVersion>>,
    /// Makes tags and salts of shreds. None only before the first batch of an upgraded deployment.
    pub deployment_key: Option<DeploymentKey>,
}

/// All keys that can be opened now.
pub struct Keyring {
    /// The number of the batch that made this state.
    pub sequence: u64,
    /// The keyspaces by name.
    pub keyspaces: HashMap<KeyspaceName, Arc<LiveKeyspace>>,
    /// The bucket keys by expiry.
    pub buckets: HashMap<Expiry, Arc<Secret32>>,
    /// The cache of pages. It may hold pages of other states; the key of a page identifies it.
    pub pages: Arc<PageCache>,
    /// The refusals of accepted erasures.
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

    /// Makes a data key for a conversation with the newest version and the current generation. It expires
    /// after `retention`, one of the keyspace's retentions.
    ///
    /// # Errors
    /// [`KeyError`]. After [`KeyError::Missing`] load the page and call again.
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

    /// Opens a wrapped key. The header is checked first, so a wrapped key with an altered header may be refused
    /// as expired, shredded or retired.
    ///
    /// # Errors
    /// [`KeyError::Expired`], [`KeyError::VersionRetired`], [`KeyError::Shredded`], or
    /// [`KeyError::Invalid`] for anything that does not open, whatever the cause. After
    /// [`KeyError::Missing`] load the page and call again.
    pub fn unwrap(
        &self,
        keyspace: &LiveKeyspace,
        conversation: &ConversationId,
        wrapped: &WrappedKey,
        now: Timestamp,
    ) -> Result<Unwrapped, KeyError> {
        let header = wrapped.header();
        let (version, row) = self.row_of(keyspace, conversation, header, now)?;
        // There is a bucket for each expiry that was issued.
        let bucket = self.buckets.get(&header.expiry).ok_or(InvalidWrappedKey)?;
        let wrapping = row.wrapping_key(bucket, conversation, header.expiry);
        Ok(Unwrapped {
            data_key: wrapped.unwrap(&wrapping)?,
            event: event(version, conversation, header, now),
            leaf: row.leaf,
            cache_until: cache_until(&keyspace.policy, header.expiry, now),
        })
    }

    /// Wraps a data key again with the newest version and the current generation, and the same expiry. Both
    /// steps use this one state: else a shredded data key could get a leaf that is not destroyed.
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
    /// When the last key of a version expires that was replaced at `replaced_at`.
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
