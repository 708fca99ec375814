//! What the service answers and what the adversary learns, against the truth.

use lethe_core::directory::Directory;
use lethe_core::tree::{Address, Lookup, TreeId};

use super::{DEPLOYMENT, World, load};
use crate::evidence::{Bytes32, leaf};

impl World {
    /// What the service answers for a leaf; with `stale` from a cache that heard of no batch.
    fn service(
        &mut self,
        directory: &Directory,
        tree: TreeId,
        at: u64,
        stale: bool,
    ) -> Option<Bytes32> {
        let entry = directory.entry(tree.keyspace, tree.version)?;
        let cache = if stale {
            &mut self.stale
        } else {
            &mut self.cache
        };
        loop {
            match entry.tree().lookup(Address::from_bits(at), cache) {
                Lookup::Leaf(leaf) => return Some(*leaf.expose()),
                Lookup::Forgotten => return None,
                Lookup::Missing(page) => cache.insert(load(&self.pages, &self.tails, &page)),
            }
        }
    }

    /// Service against truth, for every leaf of every tree.
    pub(crate) fn serves_the_truth(&mut self) -> Result<(), String> {
        let directory = self.directory();
        let expected = self.expected();
        for (tree, address, truth) in expected {
            for stale in [false, true] {
                let answer = self.service(&directory, tree, address, stale);
                if answer != truth {
                    return Err(format!(
                        "{tree:?} {address:016x}: the service is wrong (stale: {stale})"
                    ));
                }
            }
        }
        self.counts_are_right(&directory)
    }

    fn counts_are_right(&self, directory: &Directory) -> Result<(), String> {
        for entry in directory.entries() {
            let shredded = self.truth[&entry.tree_id()].shredded.len() as u64;
            if entry.root.forgotten() != shredded {
                return Err(format!("{:?}: counts wrong", entry.tree_id()));
            }
        }
        Ok(())
    }

    /// Adversary against truth: derives every live leaf, and no other.
    pub(crate) fn adversary_learns_the_living_only(&self) -> Result<(), String> {
        let keys: Vec<Bytes32> = self.hsm.values().copied().collect();
        let knowledge = self.evidence.open_with(DEPLOYMENT, &keys);
        for (tree, address, truth) in self.expected() {
            let derived = knowledge.leaves(tree, address);
            if derived != truth.into_iter().collect() {
                let what = if truth.is_some() {
                    "live and lost"
                } else {
                    "forgotten and found"
                };
                return Err(format!("{tree:?} {address:016x}: {what}"));
            }
        }
        Ok(())
    }

    /// Every leaf that was ever named, and its key if it lives.
    fn expected(&self) -> Vec<(TreeId, u64, Option<Bytes32>)> {
        let mut expected = Vec::new();
        for (tree, truth) in &self.truth {
            for address in &truth.live {
                let key = leaf(&truth.seed, 0, *address);
                expected.push((*tree, *address, (!truth.dropped).then_some(key)));
            }
            expected.extend(truth.shredded.iter().map(|address| (*tree, *address, None)));
        }
        expected
    }
}
