//! Where the cover of a key version begins.

use super::name::TreeId;
use super::{Address, seed};
use crate::secret::Secret32;

/// What the directory holds of a tree.
pub enum CoverRoot {
    /// The tree's own seed: nothing is forgotten.
    Whole(Secret32),
    /// The key of the top page.
    Page(TopPage),
}

/// Opens the page of [`super::Prefix::TOP`].
pub struct TopPage {
    /// Its single-use key.
    pub key: Secret32,
    /// How many leaves are forgotten: the size of the cover, for rotation.
    pub forgotten: u64,
}

impl CoverRoot {
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
    /// Which tree.
    pub id: TreeId,
    /// Where its cover begins.
    pub root: &'a CoverRoot,
}

/// A tree of which nothing is forgotten, in memory; needs no pages.
pub struct Cover(Secret32);

impl Cover {
    /// The whole tree.
    #[must_use]
    pub const fn whole(seed: Secret32) -> Self {
        Self(seed)
    }

    /// The conversation key at `address`: always there.
    #[must_use]
    pub fn leaf(&self, address: Address) -> Option<Secret32> {
        Some(seed::leaf(self.0.expose(), 0, address))
    }
}
