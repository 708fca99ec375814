//! Rows of the grid: the row that a header names, and the current row of a conversation. A row that is
//! destroyed or refused is not returned.

use std::cell::Cell;
use std::sync::Arc;

use super::{KeyError, Keyring, LiveKeyspace, LiveVersion};
use crate::conversation::ConversationId;
use crate::grid::{self, Binding, Generation};
use crate::keyspace::KeyVersion;
use crate::refusals::{Refusal, Target};
use crate::secret::Secret32;
use crate::time::{Expiry, Timestamp};
use crate::tree::{Address, CurrentGeneration, LeafId, Lookup};
use crate::wrapped_key::{Header, InvalidWrappedKey};

/// A row of the grid that is not destroyed.
pub(super) struct LiveRow {
    conversation_key: Arc<Secret32>,
    generation: Generation,
    pub(super) leaf: LeafId,
}

impl LiveRow {
    pub(super) const fn header(&self, expiry: Expiry) -> Header {
        Header {
            version: self.leaf.tree.version,
            generation: self.generation,
            expiry,
        }
    }

    /// The wrapping key where this row crosses the column of a bucket.
    pub(super) fn wrapping_key(
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

impl Keyring {
    /// The newest version, unless the keyspace is being erased.
    pub(super) fn newest<'k>(
        &self,
        keyspace: &'k LiveKeyspace,
    ) -> Result<&'k LiveVersion, KeyError> {
        let version = keyspace.versions.last().ok_or(KeyError::VersionRetired)?;
        match self.refusals.get(Target::Keyspace(keyspace.id)) {
            None => Ok(version),
            Some(Refusal::Pending) => Err(KeyError::Pending),
            Some(_) => Err(KeyError::UnknownKeyspace),
        }
    }

    /// The version that a header names, if it is live. A smaller number without a version was retired; a
    /// larger one never existed.
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
        match self.refusals.get(Target::Tree(version.tree)) {
            None => Ok(version),
            Some(Refusal::Pending) => Err(KeyError::Pending),
            Some(_) => Err(KeyError::VersionRetired),
        }
    }

    /// The row that a header names, if it is not destroyed.
    pub(super) fn row_of<'k>(
        &self,
        keyspace: &'k LiveKeyspace,
        conversation: &ConversationId,
        header: Header,
        now: Timestamp,
    ) -> Result<(&'k LiveVersion, LiveRow), KeyError> {
        if header.expiry.has_passed(now) {
            return Err(KeyError::Expired(header.expiry));
        }
        let version = self.version(keyspace, header.version)?;
        let address = version.address_key.address(conversation, header.generation);
        match self.refusals.get(Target::Leaf(version.leaf(address))) {
            None => {}
            Some(Refusal::Pending) => return Err(KeyError::Pending),
            Some(_) => return Err(KeyError::Shredded),
        }
        Ok((version, self.row(version, header.generation, address)?))
    }

    /// The row of the current generation.
    pub(super) fn current_row(
        &self,
        version: &LiveVersion,
        conversation: &ConversationId,
    ) -> Result<LiveRow, KeyError> {
        // Most conversations were never shredded: one lookup finds their row.
        let first = version.address_key.address(conversation, Generation::FIRST);
        if self
            .refusals
            .get(Target::Leaf(version.leaf(first)))
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
            self.refusals.reissued(version.leaf(address));
        }
        let address = version.address_key.address(conversation, generation);
        self.row(version, generation, address)
    }

    /// The row at an address. The conversation key in the cache may be of an older state, but it is not one that
    /// this state destroyed, because callers check the refusals before.
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

    /// The first generation of a conversation that is neither destroyed nor refused.
    pub(super) fn current_generation(
        &self,
        version: &LiveVersion,
        conversation: &ConversationId,
    ) -> Result<Generation, KeyError> {
        let pending = Cell::new(false);
        let accepted = |address| {
            let refusal = self.refusals.get(Target::Leaf(version.leaf(address)));
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
