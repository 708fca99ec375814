//! What happens around the nodes by itself: time, replication, fail-over.

use crate::model::Protocol;
use crate::mutation::Mutation;
use crate::names::{CopyName, NodeId};
use crate::node::{Lease, Step};
use crate::state::{State, spend};

impl Protocol {
    pub(crate) fn flush(&self, state: &mut State) -> Option<()> {
        let behind = !state.store.is_level(CopyName::Standby) && !state.store.is_ahead();
        (self.replicates(state) && behind).then_some(())?;
        state.store.replicate(CopyName::Standby);
        Some(())
    }

    pub(crate) fn flush_commit(&self, state: &mut State) -> Option<()> {
        let meta = state.store.copy(CopyName::Primary).committing?;
        (self.replicates(state) && !state.store.is_ahead()).then_some(())?;
        state.store.replicate(CopyName::Standby);
        state.store.copy_mut(CopyName::Standby).meta = meta;
        Some(())
    }

    /// The old primary stays writable for whoever is connected to it.
    pub(crate) fn fail_over(&self, state: &mut State, to: CopyName) -> Option<()> {
        let target = if self.makes(Mutation::AsynchronousFailOver) {
            CopyName::Old
        } else {
            CopyName::Standby
        };
        (self.replicates(state) && to == target).then_some(())?;
        spend(&mut state.left.fail_overs)?;
        (state.store.serving, state.store.right) = (to, to);
        Some(())
    }

    /// After a fail-over the old primary has no standby, and the new one none yet.
    fn replicates(&self, state: &State) -> bool {
        self.scope.is_cluster() && state.store.serving == CopyName::Primary
    }
}

/// Only where somebody waits for it, or nothing can be renewed.
pub(crate) fn lease_lapses(state: &mut State, id: NodeId) -> Option<()> {
    let (node, rival) = (state.node(id), state.node(id.other()));
    let awaited = rival.epoch > node.epoch || node.at != state.store.serving;
    (awaited && node.lease == Lease::Running).then_some(())?;
    state.node_mut(id).lease = Lease::Lapsed;
    Some(())
}

/// Outside a transaction nothing tells a node that its connection is to another copy now.
pub(crate) fn reconnect(state: &mut State, id: NodeId) -> Option<()> {
    let node = state.node(id);
    let inside = node.holds_lock() || node.step == Step::TakenOver;
    let promoted = state.store.serving == CopyName::Standby && node.at == CopyName::Primary;
    (promoted && !inside).then_some(())?;
    spend(&mut state.left.reconnects)?;
    state.node_mut(id).at = CopyName::Standby;
    Some(())
}
