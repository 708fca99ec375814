//! Recovery: the fence, then meta's root in the HSM, then the batch from step 4 on.

use crate::batch::is_unlocked;
use crate::finish::predecessor_holds_lease;
use crate::model::Protocol;
use crate::mutation::{Amendment, Mutation};
use crate::names::{CopyName, Epoch, Fence, NodeId};
use crate::node::{Batch, Halt, Lease, Node, Origin, Step};
use crate::state::{State, spend};

impl Protocol {
    /// Takes the fence of a copy, under an epoch above all that are known. That writes the meta
    /// row, so a COMMIT under way, of a node that may be dead, comes first.
    pub(crate) fn take_over(&self, state: &mut State, id: NodeId, copy: CopyName) -> Option<()> {
        let waits = !is_unlocked(state, copy) && !self.makes(Mutation::TakeOverWithoutLock);
        (!waits && self.can_start(state, id, copy)).then_some(())?;
        spend(&mut state.left.take_overs)?;
        let epoch = self.next_epoch(state, copy);
        state.store.copy_mut(copy).fence = Fence { epoch, holder: id };
        if self.has(Amendment::EpochInClaim) {
            state.hsm.claim(epoch);
        }
        *state.node_mut(id) = Node {
            step: Step::TakenOver,
            epoch,
            lease: Lease::Running,
            at: copy,
            first_unknown: state.hsm.next(),
        };
        Some(())
    }

    /// A node finds the serving copy; one that a fail-over has cut off finds the old primary.
    fn can_start(&self, state: &State, id: NodeId, copy: CopyName) -> bool {
        let serving = state.store.serving;
        let cut_off = copy == CopyName::Primary && serving == CopyName::Standby;
        let exists = id == NodeId::First || self.scope.is_cluster();
        exists && (copy == serving || cut_off)
    }

    fn next_epoch(&self, state: &State, copy: CopyName) -> Epoch {
        let in_store = state.store.copy(copy).fence.epoch;
        let trusted = !self.makes(Mutation::EpochFromStore);
        let labelled = state.hsm.newest_epoch().filter(|_| trusted);
        let claimed = self.has(Amendment::EpochInClaim);
        let claimed = claimed.then_some(state.hsm.claimed());
        let others = [labelled, claimed].into_iter().flatten();
        others.fold(in_store, Epoch::max).next()
    }

    /// Opens meta before anything else; goes on with the batch that it finds.
    pub(crate) fn open(&self, state: &mut State, id: NodeId) -> Option<Step> {
        if self.has(Amendment::WaitBeforeOpening) && predecessor_holds_lease(state, id) {
            return None;
        }
        let at = state.node(id).at;
        let meta = state.store.copy(at).meta;
        let opens = state.hsm.holds(meta.root);
        if !opens && !self.makes(Mutation::SweepBeforeOpening) {
            return Some(Step::Halted(Halt::RootDoesNotOpen));
        }
        if self.has(Amendment::FreshRoot) && !state.hsm.beside(meta.root).is_empty() {
            return Some(Step::Mistrusting(meta));
        }
        if opens && at == state.store.serving {
            state.store.right = at;
        }
        let origin = Origin::Found;
        Some(Step::Committed(Batch { meta, origin }))
    }
}
