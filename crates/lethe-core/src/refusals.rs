//! What is refused already although its keys may still exist: from the acceptance of an erasure on,
//! nobody gets a key that it forgets.
//!
//! An erasure is *pending* while its row is on the way to the disk: who asks for such a key waits,
//! since nobody can tell yet whether it lives. What is done stays here until the last call that
//! began before has ended, so that a call looks again just before its answer and finds it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::RwLock;

use crate::identity::KeyspaceId;
use crate::time::Timestamp;
use crate::tree::{LeafId, TreeId};

/// What an erasure forgets: one leaf, a version with all of them, or all versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// A conversation's generation in a version.
    Leaf(LeafId),
    /// A version.
    Tree(TreeId),
    /// A keyspace with all its versions, those to come included.
    Keyspace(KeyspaceId),
}

/// How far the erasure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Accepted or not: nobody knows yet.
    Pending,
    /// Accepted, not yet destroyed.
    Accepted {
        /// A key of the conversation's next generation was issued since.
        reissued: bool,
    },
    /// Destroyed.
    Done,
}

#[derive(Default)]
struct State {
    targets: HashMap<Target, Refusal>,
    done: VecDeque<(Timestamp, Vec<Target>)>,
}

/// All refusals of a node.
#[derive(Default)]
pub struct Refusals {
    state: RwLock<State>,
    /// As many as `targets`: mostly 0, and then nobody takes the lock.
    count: AtomicUsize,
    changes: AtomicU64,
}

impl Refusals {
    /// How far the erasure is that forgets `target`, if there is one.
    #[must_use]
    pub fn of(&self, target: Target) -> Option<Refusal> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.state.read().targets.get(&target).copied()
    }

    /// Grows with every change: equal numbers mean that nothing was refused in between.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Marks what is not refused yet as pending; says which of it.
    #[must_use]
    pub fn pend(&self, targets: impl IntoIterator<Item = Target>) -> Vec<Target> {
        let mut state = self.state.write();
        let mut new = Vec::new();
        for target in targets {
            state.targets.entry(target).or_insert_with(|| {
                new.push(target);
                Refusal::Pending
            });
        }
        self.settle(&state);
        new
    }

    /// Takes pending targets back: their erasure was not accepted.
    pub fn withdraw(&self, targets: &[Target]) {
        let mut state = self.state.write();
        for target in targets {
            state.targets.remove(target);
        }
        self.settle(&state);
    }

    /// They are refused from now on.
    pub fn accept(&self, targets: impl IntoIterator<Item = Target>) {
        let mut state = self.state.write();
        for target in targets {
            let refusal = state.targets.entry(target).or_insert(Refusal::Pending);
            if *refusal == Refusal::Pending {
                *refusal = Refusal::Accepted { reissued: false };
            }
        }
        self.settle(&state);
    }

    /// Erasures of an earlier process: nobody knows whether their conversations went on.
    pub fn accept_again(&self, targets: impl IntoIterator<Item = Target>) {
        let mut state = self.state.write();
        for target in targets {
            let accepted = Refusal::Accepted { reissued: true };
            state.targets.entry(target).or_insert(accepted);
        }
        self.settle(&state);
    }

    /// A key of the generation after this leaf's was issued: another shred is one of its own.
    pub fn reissued(&self, leaf: LeafId) {
        let target = Target::Leaf(leaf);
        if !matches!(self.of(target), Some(Refusal::Accepted { reissued: false })) {
            return;
        }
        if let Some(Refusal::Accepted { reissued }) = self.state.write().targets.get_mut(&target) {
            *reissued = true;
        }
    }

    /// They are destroyed, at `now` of the clock that [`Self::drop_done`] is asked by.
    pub fn finish(&self, targets: Vec<Target>, now: Timestamp) {
        let mut state = self.state.write();
        for target in &targets {
            state.targets.insert(*target, Refusal::Done);
        }
        state.done.push_back((now, targets));
        self.settle(&state);
    }

    /// Drops what was done before `before`.
    pub fn drop_done(&self, before: Timestamp) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut state = self.state.write();
        while let Some((_, targets)) = state.done.pop_front_if(|(done, _)| *done < before) {
            for target in targets {
                if state.targets.get(&target) == Some(&Refusal::Done) {
                    state.targets.remove(&target);
                }
            }
        }
        self.count.store(state.targets.len(), Ordering::Release);
    }

    fn settle(&self, state: &State) {
        self.count.store(state.targets.len(), Ordering::Release);
        self.changes.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::KeyVersion;
    use crate::tree::Address;

    fn leaf(bits: u64) -> LeafId {
        let keyspace = KeyspaceId::from_bytes([1; 16]);
        let version = KeyVersion::FIRST;
        LeafId {
            tree: TreeId { keyspace, version },
            address: Address::from_bits(bits),
        }
    }

    #[test]
    fn a_second_request_for_the_same_leaf_takes_nothing_back() {
        let refusals = Refusals::default();
        let target = Target::Leaf(leaf(1));
        assert_eq!(refusals.pend([target]), [target]);
        refusals.accept([target]);
        assert_eq!(refusals.pend([target]), []);
        refusals.withdraw(&[]);
        assert_eq!(
            refusals.of(target),
            Some(Refusal::Accepted { reissued: false })
        );
    }

    #[test]
    fn what_is_done_stays_for_a_while() {
        let refusals = Refusals::default();
        let (at, target) = (Timestamp::from_millis, Target::Leaf(leaf(1)));
        refusals.accept([target]);
        refusals.reissued(leaf(1));
        assert_eq!(
            refusals.of(target),
            Some(Refusal::Accepted { reissued: true })
        );
        let before = refusals.changes();
        refusals.finish(vec![target], at(10));
        assert!(refusals.changes() > before);
        refusals.drop_done(at(10));
        assert_eq!(refusals.of(target), Some(Refusal::Done));
        refusals.drop_done(at(11));
        assert_eq!(refusals.of(target), None);
    }

    #[test]
    fn requests_of_an_earlier_process_are_not_joined() {
        let refusals = Refusals::default();
        let (known, new) = (Target::Leaf(leaf(1)), Target::Leaf(leaf(2)));
        refusals.accept([known]);
        refusals.accept_again([known, new]);
        assert_eq!(
            refusals.of(known),
            Some(Refusal::Accepted { reissued: false })
        );
        assert_eq!(refusals.of(new), Some(Refusal::Accepted { reissued: true }));
    }

    #[test]
    fn what_was_not_accepted_is_open_again() {
        let refusals = Refusals::default();
        let new = refusals.pend([Target::Leaf(leaf(1)), Target::Leaf(leaf(1))]);
        assert_eq!(new.len(), 1);
        assert_eq!(refusals.of(new[0]), Some(Refusal::Pending));
        refusals.withdraw(&new);
        assert_eq!(refusals.of(new[0]), None);
    }
}
