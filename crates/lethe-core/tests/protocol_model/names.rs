//! The names of things, each of its own type.
//!
//! Roots are numbered in the order in which they are made, so two histories that differ only in
//! random ids are one.

use std::fmt;

use crate::set::Member;

/// Roots that a history can have.
pub(crate) const ROOTS: usize = 10;

/// The random id of a root in the HSM.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RootId(pub(crate) u8);

impl fmt::Debug for RootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "R{}", self.0)
    }
}

impl Member for RootId {
    const COUNT: usize = ROOTS;

    fn index(self) -> usize {
        usize::from(self.0)
    }

    fn of_index(index: usize) -> Self {
        Self(index as u8)
    }
}

/// The keys under which one attempt of a batch seals the directory and its pages. Drawn with a
/// root, so they bear its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PageKeys(pub(crate) RootId);

impl Member for PageKeys {
    const COUNT: usize = ROOTS;

    fn index(self) -> usize {
        self.0.index()
    }

    fn of_index(index: usize) -> Self {
        Self(RootId::of_index(index))
    }
}

/// A conversation key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Leaf {
    /// The generation of a conversation that somebody wants shredded.
    Shredded,
    /// The one that follows it. Nobody wants it forgotten.
    Following,
}

impl Member for Leaf {
    const COUNT: usize = 2;

    fn index(self) -> usize {
        self as usize
    }

    fn of_index(index: usize) -> Self {
        [Self::Shredded, Self::Following][index]
    }
}

/// Fencing epoch of a leader.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Epoch(pub(crate) u8);

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {}", self.0)
    }
}

impl Epoch {
    pub(crate) const MAX: Self = Self(u8::MAX);

    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Counts batches.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Sequence(pub(crate) u8);

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch {}", self.0)
    }
}

impl Sequence {
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A node that can lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum NodeId {
    /// Leads when a history begins.
    First,
    /// Takes over.
    Second,
}

impl NodeId {
    pub(crate) const ALL: [Self; 2] = [Self::First, Self::Second];

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// Who leads, as a database says. A number alone would not do: two nodes may take the same one,
/// each on a copy that the other does not see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fence {
    pub(crate) epoch: Epoch,
    pub(crate) holder: NodeId,
}

/// A copy of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum CopyName {
    /// Where a history begins; after a fail-over the old primary, still writable.
    Primary,
    /// The synchronous standby.
    Standby,
    /// A backup, or an asynchronous replica that lags.
    Old,
}

impl CopyName {
    pub(crate) const ALL: [Self; 3] = [Self::Primary, Self::Standby, Self::Old];
}
