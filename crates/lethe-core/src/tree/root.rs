//! Where the cover of a key version begins.

use super::name::TreeId;
use crate::secret::Secret32;

/// What the directory holds of a tree.
pub enum CoverRoot {
    /// The seed of the whole tree: no leaf is forgotten.
    Whole(Secret32),
    /// The key of the top page.
    Page(TopPage),
}

/// Opens the page of [`super::Prefix::TOP`].
pub struct TopPage {
    /// The key of the top page. It is used once.
    pub key: Secret32,
    /// How many leaves are forgotten: the size of the cover, for rotation.
    pub forgotten: u64,
}

impl CoverRoot {
    /// Another copy, for a snapshot in memory; both are wiped.
    #[must_use]
    pub fn copied(&self) -> Self {
        match self {
            Self::Whole(seed) => Self::Whole(seed.copied()),
            Self::Page(top) => Self::Page(TopPage {
                key: top.key.copied(),
                forgotten: top.forgotten,
            }),
        }
    }

    /// How many leaves are forgotten.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        match self {
            Self::Whole(_) => 0,
            Self::Page(top) => top.forgotten,
        }
    }
}

/// The tree of a key version as one directory shows it.
#[derive(Clone, Copy)]
pub struct Tree<'a> {
    /// The tree.
    pub id: TreeId,
    /// The root of its cover.
    pub root: &'a CoverRoot,
}
