//! Steps 4 to 6, and 8: barrier, read-back, acknowledgements, receipt.

use crate::model::Protocol;
use crate::mutation::{Amendment, Mutation};
use crate::names::{CopyName, NodeId};
use crate::node::{Batch, Halt, Lease, Origin, Step};
use crate::state::State;

impl Protocol {
    /// Step 4. A COMMIT that was answered says nothing of the standby: it has to be asked. A
    /// promoted copy is alone; the old primary waits for its standby in vain.
    pub(crate) fn flushed(&self, state: &State, id: NodeId, batch: Batch) -> Option<Step> {
        let skipped = match batch.origin {
            Origin::Written => self.makes(Mutation::BatchWithoutBarrier),
            Origin::Found => self.makes(Mutation::RecoveryWithoutBarrier),
        };
        let at = state.node(id).at;
        let alone = !self.scope.is_cluster() || at != CopyName::Primary;
        let replicated = state.store.serving == at && state.store.is_level(CopyName::Standby);
        (skipped || alone || replicated).then_some(Step::Flushed(batch))
    }

    /// Step 5, of meta and fence. The connection is a fresh one, so it may be to a copy that was
    /// promoted meanwhile, and has neither if they were not flushed.
    pub(crate) fn read_back(&self, state: &State, id: NodeId, batch: Batch) -> Step {
        let found = state.store.copy(state.node(id).at).meta == batch.meta;
        let fenced = self.holds_fence(state, id) || self.makes(Mutation::TakeOverUnflushed);
        let opens = state.hsm.holds(batch.meta.root);
        let late = batch.origin == Origin::Found && self.makes(Mutation::SweepBeforeOpening);
        if late || self.makes(Mutation::ReadBackUnchecked) {
            return Step::ReadBack(batch);
        }
        match (found && fenced, opens) {
            (true, true) => Step::ReadBack(batch),
            (true, false) => Step::Halted(Halt::RootDoesNotOpen),
            (false, _) => Step::Down,
        }
    }

    /// Step 6. Leaders before this one serve keys, too; they do not acknowledge, they lapse.
    pub(crate) fn acknowledged(&self, state: &State, id: NodeId, batch: Batch) -> Option<Step> {
        let awaited = !self.makes(Mutation::SweepBeforeLeasesLapse);
        if awaited && predecessor_holds_lease(state, id) {
            return None;
        }
        let listed = if self.makes(Mutation::LeasesListedBeforeCommit) {
            state.listed_early
        } else {
            state.store.copy(state.node(id).at).lease_listed
        };
        let waits = listed && !self.has_acknowledged(state, &batch.meta);
        (!waits).then_some(Step::Acknowledged(batch))
    }

    /// Step 8.
    pub(crate) fn answer(&self, state: &mut State, id: NodeId, batch: Batch) -> Step {
        let lapsed = state.node(id).lease == Lease::Lapsed;
        if lapsed && self.has(Amendment::AnswerWithLease) {
            return Step::Down;
        }
        let covered = state.accepted.without(batch.meta.live);
        state.receipts = state.receipts.with(covered);
        Step::Ready(batch.meta, None)
    }
}

pub(crate) fn predecessor_holds_lease(state: &State, id: NodeId) -> bool {
    let (node, rival) = (state.node(id), state.node(id.other()));
    rival.lease == Lease::Running && rival.epoch < node.epoch
}
