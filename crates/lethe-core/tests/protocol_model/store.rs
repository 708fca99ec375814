//! The copies of the database, and which of them counts.

use std::fmt;

use crate::names::{CopyName, Epoch, Fence, Leaf, PageKeys, RootId, Sequence};
use crate::set::Set;

/// The meta row, and what the pages below it hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Meta {
    pub(crate) sequence: Sequence,
    /// Of the leader that wrote it.
    pub(crate) epoch: Epoch,
    pub(crate) root: RootId,
    pub(crate) keys: PageKeys,
    pub(crate) live: Set<Leaf>,
}

impl fmt::Debug for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sequence,
            epoch,
            root,
            live,
            ..
        } = self;
        write!(f, "{sequence:?} of {epoch:?} under {root:?}, {live:?} live")
    }
}

/// One copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Database {
    pub(crate) meta: Meta,
    /// The last take-over here.
    pub(crate) fence: Fence,
    /// The reader's lease is listed here.
    pub(crate) lease_listed: bool,
    /// COMMIT was sent and is not done. It holds the lock of the meta row, whether the node that
    /// sent it lives or not.
    pub(crate) committing: Option<Meta>,
}

/// All copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    primary: Database,
    standby: Database,
    old: Database,
    /// The copy that a node finds when it starts.
    pub(crate) serving: CopyName,
    /// The copy that P2 speaks of: the one promoted, or the one that a recovery went on with. An
    /// operator who starts a stale copy does not make it the right one.
    pub(crate) right: CopyName,
}

impl Store {
    /// Three equal copies.
    pub(crate) const fn new(meta: Meta, fence: Fence) -> Self {
        let database = Database {
            meta,
            fence,
            lease_listed: false,
            committing: None,
        };
        Self {
            primary: database,
            standby: database,
            old: database,
            serving: CopyName::Primary,
            right: CopyName::Primary,
        }
    }

    pub(crate) const fn copy(&self, name: CopyName) -> &Database {
        match name {
            CopyName::Primary => &self.primary,
            CopyName::Standby => &self.standby,
            CopyName::Old => &self.old,
        }
    }

    pub(crate) const fn copy_mut(&mut self, name: CopyName) -> &mut Database {
        match name {
            CopyName::Primary => &mut self.primary,
            CopyName::Standby => &mut self.standby,
            CopyName::Old => &mut self.old,
        }
    }

    /// Brings a copy level with the serving one, but for the COMMIT under way.
    pub(crate) const fn replicate(&mut self, to: CopyName) {
        let from = *self.copy(self.serving);
        *self.copy_mut(to) = Database {
            committing: None,
            ..from
        };
    }

    /// Whether a copy has all that was committed on the serving one, and no more.
    pub(crate) fn is_level(&self, copy: CopyName) -> bool {
        let mut level = *self;
        level.replicate(copy);
        level == *self
    }

    /// Whether the standby has flushed a COMMIT that the primary has not answered.
    pub(crate) fn is_ahead(&self) -> bool {
        self.primary.committing == Some(self.standby.meta)
    }
}
