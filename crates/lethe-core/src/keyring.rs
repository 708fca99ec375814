//! The keys in memory: what an issue and an unwrap need, and nothing else. A snapshot never
//! changes; a change is a new snapshot, so a request sees one state of the world.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use crate::audit::KeyEvent;
use crate::conversation::ConversationId;
use crate::grid::{self, Binding, Generation};
use crate::identity::KeyspaceId;
use crate::keyspace::{KeyVersion, KeyspaceName, Policy};
use crate::page_cache::PageCache;
use crate::ports::{Entropy, EntropyError};
use crate::refusals::{Refusal, Refusals, Target};
use crate::request::ShredLeaf;
use crate::secret::Secret32;
use crate::time::{Expiry, Timestamp};
use crate::tree::{
    Address, AddressKey, CoverRoot, CurrentGeneration, GENERATIONS, LeafId, Lookup, PageReference,
    Pseudonym, Tree, TreeId,
};
use crate::wrapped_key::{Header, InvalidWrappedKey, WrappedKey};

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

impl Keyring {
    /// A keyspace by name.
    ///
    /// # Errors
    /// [`KeyError::UnknownKeyspace`].
    pub fn keyspace(&self, name: &KeyspaceName) -> Result<&LiveKeyspace, KeyError> {
        let found = self.keyspaces.get(name).ok_or(KeyError::UnknownKeyspace)?;
        Ok(found)
    }

    /// Makes a data key for a conversation under the newest version, in its current generation.
    ///
    /// # Errors
    /// [`KeyError`]; after [`KeyError::Missing`] ask again.
    pub fn issue(
        &self,
        keyspace: &LiveKeyspace,
        conversation: &ConversationId,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Issued, KeyError> {
        let version = self.newest(keyspace)?;
        let placement = grid::place(&keyspace.policy, now);
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

    /// What a shred of the conversation forgets now: its current generation in each live version.
    /// A generation whose shred is accepted, and after which nothing was issued, is joined.
    ///
    /// # Errors
    /// [`KeyError::UsedUp`], [`KeyError::Pending`]; after [`KeyError::Missing`] ask again.
    pub fn shred_leaves(
        &self,
        keyspace: &LiveKeyspace,
        conversation: &ConversationId,
    ) -> Result<Vec<ShredLeaf>, KeyError> {
        let leaf = |version: &Arc<LiveVersion>| {
            let current = self.current_generation(version, conversation);
            let joined = match &current {
                Ok(generation) => self.joined(version, conversation, generation.number().into()),
                Err(KeyError::UsedUp) => self.joined(version, conversation, GENERATIONS),
                Err(_) => None,
            };
            let generation = joined.map_or(current, Ok)?;
            Ok(ShredLeaf {
                version: version.tree.version,
                generation,
                address: version.address_key.address(conversation, generation),
            })
        };
        keyspace.versions.iter().map(leaf).collect()
    }

    /// The generation before `next`, where its shred still runs and the conversation has not gone on.
    fn joined(
        &self,
        version: &LiveVersion,
        conversation: &ConversationId,
        next: u32,
    ) -> Option<Generation> {
        let before = u16::try_from(next.checked_sub(1)?).ok()?;
        let before = Generation::new(before);
        let address = version.address_key.address(conversation, before);
        let refusal = self.refusals.of(Target::Leaf(version.leaf(address)));
        (refusal == Some(Refusal::Accepted { went_on: false })).then_some(before)
    }

    /// The newest version, unless the keyspace is being erased.
    fn newest<'k>(&self, keyspace: &'k LiveKeyspace) -> Result<&'k LiveVersion, KeyError> {
        let version = keyspace.versions.last().ok_or(KeyError::VersionRetired)?;
        match self.refusals.of(Target::Keyspace(keyspace.id)) {
            None => Ok(version),
            Some(Refusal::Pending) => Err(KeyError::Pending),
            Some(_) => Err(KeyError::UnknownKeyspace),
        }
    }

    /// The version of a header, if it lives: a smaller number that is gone was retired, a larger
    /// one never was.
    fn version<'k>(
        &self,
        keyspace: &'k LiveKeyspace,
        number: KeyVersion,
    ) -> Result<&'k LiveVersion, KeyError> {
        let newest = self.newest(keyspace)?;
        if number < keyspace.minimum_version {
            return Err(KeyError::VersionRetired);
        }
        let versions = &keyspace.versions;
        let Some(version) = versions.iter().find(|it| it.tree.version == number) else {
            return Err(if number < newest.tree.version {
                KeyError::VersionRetired
            } else {
                InvalidWrappedKey.into()
            });
        };
        match self.refusals.of(Target::Tree(version.tree)) {
            None => Ok(version),
            Some(Refusal::Pending) => Err(KeyError::Pending),
            Some(_) => Err(KeyError::VersionRetired),
        }
    }

    /// The row that a header names, if it lives.
    fn row_of<'k>(
        &self,
        keyspace: &'k LiveKeyspace,
        conversation: &ConversationId,
        header: Header,
        now: Timestamp,
    ) -> Result<(&'k LiveVersion, LiveRow), KeyError> {
        if header.expiry.has_passed(now) {
            return Err(KeyError::Expired);
        }
        let version = self.version(keyspace, header.version)?;
        let address = version.address_key.address(conversation, header.generation);
        match self.refusals.of(Target::Leaf(version.leaf(address))) {
            None => {}
            Some(Refusal::Pending) => return Err(KeyError::Pending),
            Some(_) => return Err(KeyError::Shredded),
        }
        Ok((version, self.row(version, header.generation, address)?))
    }

    /// The row of the current generation.
    fn current_row(
        &self,
        version: &LiveVersion,
        conversation: &ConversationId,
    ) -> Result<LiveRow, KeyError> {
        // Most conversations were never shredded: one look tells so, and finds the row.
        let first = version.address_key.address(conversation, Generation::FIRST);
        if self
            .refusals
            .of(Target::Leaf(version.leaf(first)))
            .is_none()
        {
            match self.row(version, Generation::FIRST, first) {
                Err(KeyError::Shredded) => {}
                found => return found,
            }
        }
        let generation = self.current_generation(version, conversation)?;
        if let Some(before) = generation.number().checked_sub(1) {
            let before = Generation::new(before);
            let address = version.address_key.address(conversation, before);
            self.refusals.went_on(version.leaf(address));
        }
        let address = version.address_key.address(conversation, generation);
        self.row(version, generation, address)
    }

    /// A key at hand may be older than this state, but never one that this state forgot: who asks has
    /// looked at the refusals.
    fn row(
        &self,
        version: &LiveVersion,
        generation: Generation,
        address: Address,
    ) -> Result<LiveRow, KeyError> {
        let leaf = version.leaf(address);
        let row = |conversation_key| LiveRow {
            conversation_key,
            generation,
            leaf,
        };
        if let Some(key) = self.pages.conversation_key(leaf) {
            return Ok(row(key));
        }
        match version.tree().lookup(address, &*self.pages) {
            Lookup::Leaf(key) => {
                let key = Arc::new(key);
                let pages = &self.pages;
                pages.keep_conversation_key(leaf, Arc::clone(&key), self.sequence);
                Ok(row(key))
            }
            Lookup::Forgotten => Err(KeyError::Shredded),
            Lookup::Missing(page) => Err(KeyError::Missing(Box::new(page))),
        }
    }

    fn current_generation(
        &self,
        version: &LiveVersion,
        conversation: &ConversationId,
    ) -> Result<Generation, KeyError> {
        let pending = Cell::new(false);
        let accepted = |address| {
            let refusal = self.refusals.of(Target::Leaf(version.leaf(address)));
            pending.set(pending.get() || refusal == Some(Refusal::Pending));
            refusal.is_some()
        };
        let address = |generation| version.address_key.address(conversation, generation);
        let found = version
            .tree()
            .current_generation(address, accepted, &*self.pages);
        if pending.get() {
            return Err(KeyError::Pending);
        }
        match found {
            CurrentGeneration::Found(generation) => Ok(generation),
            CurrentGeneration::UsedUp => Err(KeyError::UsedUp),
            CurrentGeneration::Missing(page) => Err(KeyError::Missing(Box::new(page))),
        }
    }
}

/// A living row of the grid.
struct LiveRow {
    conversation_key: Arc<Secret32>,
    generation: Generation,
    leaf: LeafId,
}

impl LiveRow {
    const fn header(&self, expiry: Expiry) -> Header {
        Header {
            version: self.leaf.tree.version,
            generation: self.generation,
            expiry,
        }
    }

    /// Where this row crosses a column.
    fn wrapping_key(
        &self,
        bucket: &Secret32,
        conversation: &ConversationId,
        expiry: Expiry,
    ) -> Secret32 {
        let binding = Binding {
            keyspace: self.leaf.tree.keyspace,
            version: self.leaf.tree.version,
            conversation,
            generation: self.generation,
            expiry,
        };
        grid::wrapping_key(&self.conversation_key, bucket, &binding)
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
