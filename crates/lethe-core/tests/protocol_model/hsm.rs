//! The HSM: all roots of the deployment, those that no store names too. `S` of `docs/design.md#promises`.

use crate::names::{Epoch, ROOTS, RootId, Sequence};
use crate::set::{Member, Set};

/// What a root's label says, beside the deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Label {
    pub(crate) sequence: Sequence,
    pub(crate) epoch: Epoch,
}

/// A call that its caller has given up on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LateCall {
    Create(Label),
    Destroy(RootId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Hsm {
    roots: [Option<Label>; ROOTS],
    made: u8,
    /// The highest epoch that was ever taken, on any store. Only an amendment asks.
    claimed: Epoch,
    late: Option<LateCall>,
}

impl Hsm {
    pub(crate) const EMPTY: Self = Self {
        roots: [None; ROOTS],
        made: 0,
        claimed: Epoch(1),
        late: None,
    };

    /// # Panics
    /// When a history needs more than [`ROOTS`]: a search that stopped there would prove nothing.
    pub(crate) fn create(&mut self, label: Label) -> RootId {
        let root = self.next();
        self.roots[root.index()] = Some(label);
        self.made += 1;
        root
    }

    pub(crate) fn destroy(&mut self, root: RootId) {
        self.roots[root.index()] = None;
    }

    pub(crate) fn holds(&self, root: RootId) -> bool {
        self.roots[root.index()].is_some()
    }

    /// All roots but one.
    pub(crate) fn beside(&self, root: RootId) -> Set<RootId> {
        self.roots_up_to(Epoch::MAX).without(Set::single(root))
    }

    /// Roots of this epoch and older ones.
    pub(crate) fn roots_up_to(&self, epoch: Epoch) -> Set<RootId> {
        let old = |label: &Option<Label>| label.is_some_and(|label| label.epoch <= epoch);
        let found = self
            .roots
            .iter()
            .enumerate()
            .filter(|(_, label)| old(label));
        found.map(|(index, _)| RootId::of_index(index)).collect()
    }

    pub(crate) fn newest_epoch(&self) -> Option<Epoch> {
        let labels = self.roots.iter().flatten();
        labels.map(|label| label.epoch).max()
    }

    pub(crate) const fn claimed(&self) -> Epoch {
        self.claimed
    }

    pub(crate) const fn claim(&mut self, epoch: Epoch) {
        self.claimed = epoch;
    }

    pub(crate) const fn give_up(&mut self, call: LateCall) {
        self.late = Some(call);
    }

    /// The device gets round to it.
    pub(crate) fn do_late_call(&mut self) -> Option<()> {
        match self.late.take()? {
            LateCall::Create(label) => drop(self.create(label)),
            LateCall::Destroy(root) => self.destroy(root),
        }
        Some(())
    }

    /// The id that the next root will have.
    pub(crate) const fn next(&self) -> RootId {
        RootId(self.made)
    }
}
