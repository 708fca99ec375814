//! Forgetting leaves: what a batch writes for one tree.

use super::grow::TreeGrowth;
use super::lookup::{LoadedPages, Walk};
use super::name::{PageVersion, Prefix, TailId};
use super::sealed::{Loaded, PageReference};
use super::{Address, CoverRoot, TopPage, Tree};
use crate::identity::DeploymentId;
use crate::ports::{Entropy, EntropyError};

/// What seals the new pages.
#[derive(Clone, Copy)]
pub struct Puncture<'a> {
    /// The deployment that the tree belongs to.
    pub deployment: DeploymentId,
    /// The version of the new pages: the sequence of the batch.
    pub version: PageVersion,
    /// The first free row id of tails.
    pub next_tail: TailId,
    /// The source of the page keys.
    pub entropy: &'a dyn Entropy,
}

/// A tree that has forgotten, to be committed with the directory that bears `root`. Computed
/// anew, with new keys, when the transaction is retried.
pub struct Punctured {
    /// The new root of the cover, for the directory.
    pub root: CoverRoot,
    /// Rows of inner pages. Each replaces the row with its prefix.
    pub pages: Vec<SealedPage>,
    /// Rows of tails to append, with ascending ids. There may be gaps between the ids.
    pub tails: Vec<SealedTail>,
    /// Tails that no page refers to any more; their rows may be deleted.
    pub superseded: Vec<TailId>,
    /// The first row id of tails that is free afterwards.
    pub next_tail: TailId,
    /// The new pages and tails in the clear; for a cache, once committed.
    pub loaded: Vec<Loaded>,
}

/// The row of an inner page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedPage {
    /// The prefix of the page, which identifies it in its tree.
    pub prefix: Prefix,
    /// The sealed page: version, ciphertext, tag.
    pub bytes: Vec<u8>,
}

/// The row of a tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedTail {
    /// The tail's row id.
    pub id: TailId,
    /// The prefix of the tail's subtree. The parent page has it too, so the row need not.
    pub prefix: Prefix,
    /// The sealed tail: ciphertext, tag.
    pub bytes: Vec<u8>,
}

/// Why nothing was forgotten.
#[derive(Debug, thiserror::Error)]
pub enum PunctureError {
    /// Load and open these, then puncture again; there may be more below them.
    #[error("{} pages of the forgetting tree are not loaded", .0.len())]
    Missing(Vec<PageReference>),
    /// The row id that should be the first free one leaves no room for more.
    #[error("{} is no row id that tails can go on from", .0.number())]
    TailIds(TailId),
    /// There are no random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

impl From<PageReference> for PunctureError {
    fn from(page: PageReference) -> Self {
        Self::Missing(vec![page])
    }
}

impl Tree<'_> {
    /// Forgets the leaves at `addresses`, in any order; repeated and already forgotten ones change
    /// nothing. None when none was left to forget.
    ///
    /// # Errors
    /// [`PunctureError`], see there; nothing has happened then.
    pub fn puncture(
        &self,
        addresses: &[Address],
        pages: &impl LoadedPages,
        puncture: Puncture<'_>,
    ) -> Result<Option<Punctured>, PunctureError> {
        let leaves = self.living(addresses, pages)?;
        if leaves.is_empty() {
            return Ok(None);
        }
        let mut growth = TreeGrowth::new(self.id, pages, puncture, leaves.len())?;
        let key = growth.regrow_top(self.root, &leaves)?;
        let forgotten = self.root.forgotten().saturating_add(leaves.len() as u64);
        let root = CoverRoot::Page(TopPage { key, forgotten });
        Ok(Some(growth.finish(root)))
    }

    /// Those that are not forgotten yet, ascending, each once; or all pages that it takes to tell.
    fn living(
        &self,
        addresses: &[Address],
        pages: &impl LoadedPages,
    ) -> Result<Vec<Address>, PunctureError> {
        let mut leaves = addresses.to_vec();
        leaves.sort_unstable();
        leaves.dedup();
        let mut missing: Vec<PageReference> = Vec::new();
        leaves.retain(|address| match self.walk(*address, pages, |_, _| ()) {
            Walk::Covered(()) => true,
            Walk::Forgotten => false,
            Walk::Missing(page) => {
                // Ascending addresses miss the same page one after the other.
                if missing
                    .last()
                    .is_none_or(|last| last.prefix() != page.prefix())
                {
                    missing.push(page);
                }
                true
            }
        });
        if missing.is_empty() {
            Ok(leaves)
        } else {
            Err(PunctureError::Missing(missing))
        }
    }
}
