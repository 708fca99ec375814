//! Pages kept in memory without a limit: what one batch has loaded, or all inner pages.

use std::collections::HashMap;

use super::name::{Prefix, TailId, TreeId};
use super::page::Page;
use super::sealed::Loaded;
use super::tail::Tail;
use super::{LoadedPages, Punctured};

/// Pages and tails by tree and name; the newest of a name only.
#[derive(Default)]
pub struct KeptPages {
    trees: HashMap<TreeId, KeptTree>,
}

#[derive(Default)]
struct KeptTree {
    pages: HashMap<Prefix, Page>,
    tails: HashMap<TailId, Tail>,
}

impl KeptPages {
    /// Keeps a page or tail. One with the same name is dropped and wiped.
    pub fn insert(&mut self, loaded: Loaded) {
        match loaded {
            Loaded::Page(tree, page) => {
                let tree = self.trees.entry(tree).or_default();
                tree.pages.insert(page.prefix(), page);
            }
            Loaded::Tail(tree, id, tail) => {
                self.trees.entry(tree).or_default().tails.insert(id, tail);
            }
        }
    }

    /// Takes over what a *committed* batch changed in a tree.
    pub fn apply(&mut self, tree: TreeId, punctured: Punctured) {
        let kept = self.trees.entry(tree).or_default();
        for id in &punctured.superseded {
            kept.tails.remove(id);
        }
        for loaded in punctured.loaded {
            self.insert(loaded);
        }
    }

    /// Drops and wipes all of a tree.
    pub fn forget(&mut self, tree: TreeId) {
        self.trees.remove(&tree);
    }

    /// Drops and wipes all tails: they are loaded again when needed.
    pub fn drop_tails(&mut self) {
        for tree in self.trees.values_mut() {
            tree.tails = HashMap::new();
        }
    }
}

impl LoadedPages for KeptPages {
    type Page<'a> = &'a Page;
    type Tail<'a> = &'a Tail;

    fn page(&self, tree: TreeId, prefix: Prefix) -> Option<&Page> {
        self.trees.get(&tree)?.pages.get(&prefix)
    }

    fn tail(&self, tree: TreeId, id: TailId) -> Option<&Tail> {
        self.trees.get(&tree)?.tails.get(&id)
    }
}
