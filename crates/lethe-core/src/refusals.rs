//! Refusals: from its acceptance on, an erasure's keys are refused, although they may still exist.
//!
//! An erasure is *pending* while its row is being written: a call for one of its keys waits, because it is not
//! known yet whether the key is refused. A target that is destroyed stays here until the last call has ended
//! that began before: each call checks the refusals again just before its answer.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::RwLock;

use crate::identity::KeyspaceId;
use crate::time::Timestamp;
use crate::tree::{LeafId, TreeId};

/// What an erasure destroys: one leaf, a version with all leaves, or all versions of a keyspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// One generation of a conversation in a version.
    Leaf(LeafId),
    /// A whole key version.
    Tree(TreeId),
    /// A keyspace with all its versions, also those that are added later.
    Keyspace(KeyspaceId),
}

/// The state of the erasure of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is being written: it may be accepted or not.
    Pending,
    /// It is accepted, and the target is not destroyed yet.
    Accepted {
        /// A key of the conversation's next generation was issued since then.
        reissued: bool,
    },
    /// The target is destroyed.
    Done,
}

#[derive(Default)]
struct State {
    targets: HashMap<Target, Refusal>,
    /// Destroyed targets, with the time of their destruction, in its order.
    done: VecDeque<(Timestamp, Vec<Target>)>,
}

/// All refusals of a node.
#[derive(Default)]
pub struct Refusals {
    state: RwLock<State>,
    /// The number of `targets`. It is 0 most of the time, and then no call takes the lock.
    count: AtomicUsize,
    /// Number of changes of `targets` so far.
    changes: AtomicU64,
}

impl Refusals {
    /// The state of the erasure of `target`; none if there is no erasure of it.
    #[must_use]
    pub fn get(&self, target: Target) -> Option<Refusal> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.state.read().targets.get(&target).copied()
    }

    /// Grows with each change: if two calls return the same number, nothing was refused in between.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Marks those targets as pending that have no refusal yet, and returns these.
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
        self.publish(&state);
        new
    }

    /// Removes pending targets: their erasure was not accepted.
    pub fn withdraw(&self, targets: &[Target]) {
        let mut state = self.state.write();
        for target in targets {
            state.targets.remove(target);
        }
        self.publish(&state);
    }

    /// Marks targets as accepted: their keys are refused from now on.
    pub fn accept(&self, targets: impl IntoIterator<Item = Target>) {
        let mut state = self.state.write();
        for target in targets {
            let refusal = state.targets.entry(target).or_insert(Refusal::Pending);
            if *refusal == Refusal::Pending {
                *refusal = Refusal::Accepted { reissued: false };
            }
        }
        self.publish(&state);
    }

    /// Marks targets of an earlier process as accepted. Keys of the next generations may have been issued.
    pub fn accept_again(&self, targets: impl IntoIterator<Item = Target>) {
        let mut state = self.state.write();
        for target in targets {
            let accepted = Refusal::Accepted { reissued: true };
            state.targets.entry(target).or_insert(accepted);
        }
        self.publish(&state);
    }

    /// Marks that a key of the generation after this leaf was issued: another shred must not join this one.
    pub fn reissued(&self, leaf: LeafId) {
        let target = Target::Leaf(leaf);
        if !matches!(
            self.get(target),
            Some(Refusal::Accepted { reissued: false })
        ) {
            return;
        }
        if let Some(Refusal::Accepted { reissued }) = self.state.write().targets.get_mut(&target) {
            *reissued = true;
        }
    }

    /// Marks targets as destroyed. `now` is of the same clock as the argument of [`Self::drop_done`].
    pub fn finish(&self, targets: Vec<Target>, now: Timestamp) {
        let mut state = self.state.write();
        for target in &targets {
            state.targets.insert(*target, Refusal::Done);
        }
        state.done.push_back((now, targets));
        self.publish(&state);
    }

    /// Removes targets that were destroyed before `before`.
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

    /// Makes a change visible to [`Self::get`] and [`Self::changes`].
    fn publish(&self, state: &State) {
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
            refusals.get(target),
            Some(Refusal::Accepted { reissued: false })
        );
    }

    #[test]
    fn a_destroyed_target_stays_until_it_is_dropped() {
        let refusals = Refusals::default();
        let (at, target) = (Timestamp::from_millis, Target::Leaf(leaf(1)));
        refusals.accept([target]);
        refusals.reissued(leaf(1));
        assert_eq!(
            refusals.get(target),
            Some(Refusal::Accepted { reissued: true })
        );
        let before = refusals.changes();
        refusals.finish(vec![target], at(10));
        assert!(refusals.changes() > before);
        refusals.drop_done(at(10));
        assert_eq!(refusals.get(target), Some(Refusal::Done));
        refusals.drop_done(at(11));
        assert_eq!(refusals.get(target), None);
    }

    #[test]
    fn requests_of_an_earlier_process_are_not_joined() {
        let refusals = Refusals::default();
        let (known, new) = (Target::Leaf(leaf(1)), Target::Leaf(leaf(2)));
        refusals.accept([known]);
        refusals.accept_again([known, new]);
        assert_eq!(
            refusals.get(known),
            Some(Refusal::Accepted { reissued: false })
        );
        assert_eq!(
            refusals.get(new),
            Some(Refusal::Accepted { reissued: true })
        );
    }

    #[test]
    fn a_withdrawn_target_is_not_refused() {
        let refusals = Refusals::default();
        let new = refusals.pend([Target::Leaf(leaf(1)), Target::Leaf(leaf(1))]);
        assert_eq!(new.len(), 1);
        assert_eq!(refusals.get(new[0]), Some(Refusal::Pending));
        refusals.withdraw(&new);
        assert_eq!(refusals.get(new[0]), None);
    }
}
