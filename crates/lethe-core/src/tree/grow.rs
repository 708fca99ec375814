//! Builds the pages and tails of a cover that forgets more, from the leaves up to the top.

use super::buffer::{SecretBytes, Writer};
use super::keys::FreshKeys;
use super::lookup::{LoadedPages, load_page};
use super::name::{Prefix, TailId, TreeId};
use super::page::Page;
use super::puncture::{Puncture, PunctureError, Punctured, SealedPage, SealedTail};
use super::rebuild::{NewPage, Parts, Source};
use super::sealed::{KeyMark, Loaded, seal_page, seal_tail};
use super::seed::{Deriver, Seed};
use super::tail::{self, CoPath, Tail};
use super::tail_ids::TailIds;
use super::{Address, CoverRoot, DEPTH};
use crate::secret::Secret32;

/// What stands behind a slot now.
pub(super) enum NewChild {
    Page(Secret32),
    Tail(TailId, Secret32),
}

/// One run over a tree. Leaves come sorted, each once, none forgotten before.
pub(super) struct TreeGrowth<'p, P> {
    pub(super) tree: TreeId,
    pub(super) pages: &'p P,
    pub(super) deriver: Deriver,
    pub(super) superseded: Vec<TailId>,
    /// Memory of finished pages, for use in the next ones: at most one for each level.
    pub(super) spare: Vec<Parts>,
    puncture: Puncture<'p>,
    tail_ids: TailIds,
    keys: FreshKeys<'p>,
    sealed_pages: Vec<SealedPage>,
    sealed_tails: Vec<SealedTail>,
    loaded: Vec<Loaded>,
}

impl<'p, P: LoadedPages> TreeGrowth<'p, P> {
    /// A run that forgets so many leaves.
    pub(super) fn new(
        tree: TreeId,
        pages: &'p P,
        puncture: Puncture<'p>,
        leaves: usize,
    ) -> Result<Self, PunctureError> {
        let tail_ids = TailIds::new(puncture.next_tail, leaves);
        Ok(Self {
            tree,
            pages,
            deriver: Deriver::new(),
            superseded: Vec::new(),
            spare: Vec::new(),
            puncture,
            tail_ids: tail_ids.ok_or(PunctureError::TailIds(puncture.next_tail))?,
            keys: FreshKeys::new(puncture.entropy),
            sealed_pages: Vec::new(),
            sealed_tails: Vec::new(),
            loaded: Vec::new(),
        })
    }

    /// The key of the new top page.
    pub(super) fn regrow_top(
        &mut self,
        root: &CoverRoot,
        leaves: &[Address],
    ) -> Result<Secret32, PunctureError> {
        match root {
            CoverRoot::Whole(seed) => {
                self.grow_page(Prefix::TOP, Source::Seed(seed.expose()), leaves)
            }
            CoverRoot::Page(top) => {
                let page = load_page(self.pages, self.tree, Prefix::TOP, top.key.expose())?;
                self.grow_page(Prefix::TOP, Source::Page(&page), leaves)
            }
        }
    }

    /// Forgets `leaves` below `prefix`, beside what is forgotten in `source`.
    pub(super) fn grow(
        &mut self,
        prefix: Prefix,
        source: Source<'_>,
        leaves: &[Address],
    ) -> Result<NewChild, PunctureError> {
        match (source, leaves) {
            (Source::Seed(seed), [leaf]) => self.cut_tail(prefix, *leaf, seed),
            (Source::CoPath(path), []) => self.shorten_tail(prefix, path),
            _ => self.grow_page(prefix, source, leaves).map(NewChild::Page),
        }
    }

    fn grow_page(
        &mut self,
        prefix: Prefix,
        source: Source<'_>,
        leaves: &[Address],
    ) -> Result<Secret32, PunctureError> {
        let clear = NewPage::build(self, prefix, source, leaves)?;
        let key = self.keys.draw()?;
        let Puncture {
            deployment,
            version,
            ..
        } = self.puncture;
        let bytes = seal_page(
            deployment,
            self.tree,
            version,
            (prefix, &clear),
            key.expose(),
        );
        self.sealed_pages.push(SealedPage { prefix, bytes });
        let page = Page::parse(prefix, KeyMark::from_key(key.expose()), clear);
        let page = page.expect("a page that was just laid out");
        self.loaded.push(Loaded::Page(self.tree, page));
        Ok(key)
    }

    fn cut_tail(
        &mut self,
        prefix: Prefix,
        leaf: Address,
        seed: &Seed,
    ) -> Result<NewChild, PunctureError> {
        let levels = usize::from(DEPTH - prefix.depth());
        let mut clear = SecretBytes::zeroed(tail::ADDRESS + 32 * levels);
        let (address, seeds) = clear.as_mut_slice().split_at_mut(tail::ADDRESS);
        address.copy_from_slice(&leaf.bits().to_be_bytes());
        let seeds = seeds.as_chunks_mut().0;
        self.deriver.co_path(seed, prefix.depth(), leaf, seeds);
        self.put_tail(prefix, clear)
    }

    /// The co-path of the same leaf from a deeper level on. The old tail must go: it holds seeds
    /// above the new leaves.
    fn shorten_tail(
        &mut self,
        prefix: Prefix,
        path: CoPath<'_>,
    ) -> Result<NewChild, PunctureError> {
        let seeds = path.below(prefix.depth()).seeds().as_flattened();
        let mut clear = Writer::with_capacity(tail::ADDRESS + seeds.len());
        clear.push(&path.leaf.bits().to_be_bytes());
        clear.push(seeds);
        self.put_tail(prefix, clear.finish())
    }

    fn put_tail(&mut self, prefix: Prefix, clear: SecretBytes) -> Result<NewChild, PunctureError> {
        let id = self.tail_ids.draw(prefix);
        let key = self.keys.draw()?;
        let deployment = self.puncture.deployment;
        let bytes = seal_tail(deployment, self.tree, id, (prefix, &clear), key.expose());
        self.sealed_tails.push(SealedTail { id, prefix, bytes });
        let tail = Tail::parse(prefix, KeyMark::from_key(key.expose()), clear);
        let tail = tail.expect("a tail that was just laid out");
        self.loaded.push(Loaded::Tail(self.tree, id, tail));
        Ok(NewChild::Tail(id, key))
    }

    pub(super) fn finish(mut self, root: CoverRoot) -> Punctured {
        self.sealed_tails.sort_unstable_by_key(|tail| tail.id);
        Punctured {
            root,
            pages: self.sealed_pages,
            tails: self.sealed_tails,
            superseded: self.superseded,
            next_tail: self.tail_ids.end(),
            loaded: self.loaded,
        }
    }
}
