//! Steps 1 to 3: a new root, the fence, pages and commit.

use crate::action::Purpose;
use crate::hsm::Label;
use crate::model::Protocol;
use crate::mutation::Mutation;
use crate::names::{CopyName, Fence, NodeId, PageKeys};
use crate::node::{Batch, Change, Lease, Node, Origin, Step};
use crate::state::{State, spend};
use crate::store::Meta;

impl Protocol {
    /// A batch begins as soon as there is something to do.
    pub(crate) fn begin(&self, state: &mut State, id: NodeId, purpose: Purpose) -> Option<()> {
        let Step::Ready(base, keys) = state.node(id).step else {
            return None;
        };
        let change = plan(state, id, base, purpose)?;
        let step = if self.makes(Mutation::FenceBeforeRoot) {
            self.fence(state, id, change, Step::FencedFirst)?
        } else {
            let mut change = new_root(state, id, change);
            change.next.keys = keys.unwrap_or(change.next.keys);
            Step::Rooted(change)
        };
        state.enter(id, step);
        Some(())
    }

    /// Step 2. Waits for the lock of the meta row and holds it to COMMIT, so nobody takes over.
    pub(crate) fn fence(
        &self,
        state: &State,
        id: NodeId,
        change: Change,
        passed: fn(Change) -> Step,
    ) -> Option<Step> {
        let node = state.node(id);
        is_unlocked(state, node.at).then_some(())?;
        let leased = node.lease == Lease::Running || self.makes(Mutation::FenceWithoutLease);
        let unchanged = state.store.copy(node.at).meta == change.base;
        let passes = leased && unchanged && self.holds_fence(state, id);
        Some(if passes { passed(change) } else { Step::Down })
    }

    /// The take-over of this node is the last that its copy knows.
    pub(crate) fn holds_fence(&self, state: &State, id: NodeId) -> bool {
        let node = state.node(id);
        let Fence { epoch, holder } = state.store.copy(node.at).fence;
        epoch == node.epoch && (holder == id || self.makes(Mutation::FenceByNumber))
    }

    /// Step 3, until the bytes are with the database. They can be sealed as soon as the root exists
    /// and sent when it no longer does, so the HSM is not asked here.
    pub(crate) fn write(&self, state: &mut State, id: NodeId, change: Change) -> Change {
        let Meta {
            root, keys, live, ..
        } = change.next;
        state.archive.keep(root, keys, live);
        if self.makes(Mutation::DestroyBeforeCommit) {
            let old = state.hsm.roots_up_to(state.node(id).epoch);
            let old = old.iter().filter(|old| *old != root);
            old.for_each(|old| state.hsm.destroy(old));
        }
        if self.makes(Mutation::LeasesListedBeforeCommit) {
            state.listed_early = state.store.copy(state.node(id).at).lease_listed;
        }
        change
    }

    pub(crate) fn commit(&self, state: &mut State, copy: CopyName) -> Option<()> {
        (!self.is_lost(state, copy)).then_some(())?;
        let database = state.store.copy_mut(copy);
        let meta = database.committing.take()?;
        database.meta = meta;
        if copy == state.store.serving {
            state.store.right = copy;
        }
        let origin = Origin::Written;
        if let Some(id) = sender(state, copy, meta) {
            state.enter(id, Step::Committed(Batch { meta, origin }));
        }
        Some(())
    }
}

fn plan(state: &mut State, id: NodeId, base: Meta, purpose: Purpose) -> Option<Change> {
    let mut change = follow(state, id, base);
    match purpose {
        Purpose::Shred => {
            state.accepted.meets(base.live).then_some(())?;
            change.next.live = base.live.without(state.accepted);
        }
        Purpose::Rotate => spend(&mut state.left.rotations)?,
    }
    Some(change)
}

/// The same state, one batch later. Root and keys are still those of the base.
fn follow(state: &State, id: NodeId, base: Meta) -> Change {
    let next = Meta {
        sequence: base.sequence.next(),
        epoch: state.node(id).epoch,
        ..base
    };
    Change { base, next }
}

/// Step 1. The keys of directory and pages are drawn beside it.
pub(crate) fn new_root(state: &mut State, id: NodeId, mut change: Change) -> Change {
    let epoch = state.node(id).epoch;
    let sequence = change.next.sequence;
    change.next.root = state.hsm.create(Label { sequence, epoch });
    change.next.keys = PageKeys(change.next.root);
    change
}

/// Amendment: a batch that does nothing else.
pub(crate) fn replace_root(state: &mut State, id: NodeId, base: Meta) -> Step {
    let change = follow(state, id, base);
    Step::Rooted(new_root(state, id, change))
}

pub(crate) fn send_commit(state: &mut State, id: NodeId, change: Change) -> Step {
    let at = state.node(id).at;
    state.store.copy_mut(at).committing = Some(change.next);
    Step::Committing(change.next)
}

/// The node that waits for this COMMIT.
pub(crate) fn sender(state: &State, copy: CopyName, meta: Meta) -> Option<NodeId> {
    NodeId::ALL.into_iter().find(|id| {
        let node = state.node(*id);
        node.at == copy && node.step == Step::Committing(meta)
    })
}

/// Nobody holds the lock of the meta row.
pub(crate) fn is_unlocked(state: &State, copy: CopyName) -> bool {
    let holds = |node: &Node| node.at == copy && node.holds_lock();
    state.store.copy(copy).committing.is_none() && !state.nodes().into_iter().any(holds)
}
