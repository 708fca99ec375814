//! Pages that a batch or a read-back loads, in addition to those in the cache.

use std::collections::HashMap;
use std::sync::Arc;

use super::{BatchError, Halt};
use crate::identity::DeploymentId;
use crate::page_cache::PageCache;
use crate::ports::TreeStore;
use crate::tree::{Loaded, LoadedPages, Page, PageReference, Prefix, Tail, TailId, TreeId};

/// Pages that were loaded here. Others are looked up in a cache, if there is one.
#[derive(Default)]
pub struct Overlay<'a> {
    cache: Option<&'a PageCache>,
    pages: HashMap<(TreeId, Prefix), Arc<Page>>,
    tails: HashMap<(TreeId, TailId), Arc<Tail>>,
}

impl<'a> Overlay<'a> {
    /// With a cache.
    #[must_use]
    pub fn over(cache: &'a PageCache) -> Self {
        Self {
            cache: Some(cache),
            ..Self::default()
        }
    }

    /// Puts the loaded pages into the cache, for the state of `sequence`.
    pub(super) fn share(self, sequence: u64) {
        if let Some(cache) = self.cache {
            cache.share(self.pages, self.tails, sequence);
        }
    }

    fn keep(&mut self, loaded: Loaded) {
        match loaded {
            Loaded::Page(tree, page) => {
                self.pages.insert((tree, page.prefix()), Arc::new(page));
            }
            Loaded::Tail(tree, id, tail) => {
                self.tails.insert((tree, id), Arc::new(tail));
            }
        }
    }
}

impl LoadedPages for Overlay<'_> {
    type Page<'p>
        = Arc<Page>
    where
        Self: 'p;
    type Tail<'p>
        = Arc<Tail>
    where
        Self: 'p;

    fn page(&self, tree: TreeId, prefix: Prefix) -> Option<Arc<Page>> {
        let own = self.pages.get(&(tree, prefix)).cloned();
        own.or_else(|| self.cache?.page(tree, prefix))
    }

    fn tail(&self, tree: TreeId, id: TailId) -> Option<Arc<Tail>> {
        let own = self.tails.get(&(tree, id)).cloned();
        own.or_else(|| self.cache?.tail(tree, id))
    }
}

/// Loads pages of one tree into an overlay, and opens them.
///
/// # Errors
/// [`Halt::PageDoesNotOpen`] if a page is missing, or is not the one that its parent names.
pub async fn load(
    store: &dyn TreeStore,
    deployment: DeploymentId,
    missing: &[PageReference],
    into: &mut Overlay<'_>,
) -> Result<(), BatchError> {
    let Some(first) = missing.first() else {
        return Ok(());
    };
    let rows: Vec<_> = missing
        .iter()
        .map(|page| (page.prefix(), page.row()))
        .collect();
    let found = store.tree_rows(first.tree(), &rows).await?;
    for (page, row) in missing.iter().zip(found) {
        let row = row.ok_or(Halt::PageDoesNotOpen)?;
        let loaded = page
            .open(deployment, &row)
            .map_err(|_| Halt::PageDoesNotOpen)?;
        into.keep(loaded);
    }
    Ok(())
}
