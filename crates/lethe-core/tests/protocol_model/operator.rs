//! What operators do: backups, and starting the wrong copy.

use crate::batch::is_unlocked;
use crate::model::Protocol;
use crate::names::CopyName;
use crate::node::Node;
use crate::state::{State, spend};

impl Protocol {
    /// Starts the old copy in the place of the serving one, with all nodes stopped.
    pub(crate) fn restore(&self, state: &mut State) -> Option<()> {
        let may = all_stopped(state) || self.scope.restore_beside_living;
        (may && state.store.serving != CopyName::Old).then_some(())?;
        spend(&mut state.left.restores)?;
        state.store.serving = CopyName::Old;
        Some(())
    }

    pub(crate) fn put_back(&self, state: &mut State) -> Option<()> {
        let right = state.store.right;
        let may = all_stopped(state) && is_unlocked(state, right) && !self.is_lost(state, right);
        (may && state.store.serving != right).then_some(())?;
        state.store.serving = right;
        Some(())
    }

    /// A disaster took the database, and the old copy was started because of it.
    pub(crate) fn is_lost(&self, state: &State, copy: CopyName) -> bool {
        let restored = state.store.serving == CopyName::Old;
        self.scope.restore_beside_living && restored && copy != CopyName::Old
    }
}

pub(crate) fn back_up(state: &mut State) -> Option<()> {
    let restored = state.store.serving == CopyName::Old;
    (!restored && !state.store.is_level(CopyName::Old)).then_some(())?;
    spend(&mut state.left.backups)?;
    state.store.replicate(CopyName::Old);
    Some(())
}

fn all_stopped(state: &State) -> bool {
    state.nodes().into_iter().all(Node::is_stopped)
}
