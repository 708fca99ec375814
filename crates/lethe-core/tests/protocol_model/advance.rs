//! The order of the steps.

use crate::batch::{new_root, replace_root, send_commit};
use crate::model::Protocol;
use crate::mutation::Mutation;
use crate::names::NodeId;
use crate::node::Step;
use crate::state::State;

impl Protocol {
    /// A node does what comes next; there is one thing only. None while it has to wait.
    pub(crate) fn advance(&self, state: &mut State, id: NodeId) -> Option<()> {
        let node = *state.node(id);
        let step = if node.needs_store() && self.is_lost(state, node.at) {
            Step::Down
        } else {
            self.next(state, id, node.step)?
        };
        state.enter(id, step);
        Some(())
    }

    fn next(&self, state: &mut State, id: NodeId, step: Step) -> Option<Step> {
        match step {
            Step::Down | Step::Halted(_) | Step::Ready(..) | Step::Committing(_) => None,
            Step::TakenOver => self.open(state, id),
            Step::Mistrusting(meta) => Some(replace_root(state, id, meta)),
            Step::FencedFirst(change) => Some(Step::Fenced(new_root(state, id, change))),
            Step::Rooted(change) if self.makes(Mutation::PagesBeforeFence) => {
                Some(Step::WrittenFirst(self.write(state, id, change)))
            }
            Step::Rooted(change) => self.fence(state, id, change, Step::Fenced),
            Step::WrittenFirst(change) => self.fence(state, id, change, Step::Written),
            Step::Fenced(change) => Some(Step::Written(self.write(state, id, change))),
            Step::Written(change) => Some(send_commit(state, id, change)),
            Step::Committed(batch) => self.flushed(state, id, batch),
            Step::Flushed(batch) => Some(self.read_back(state, id, batch)),
            Step::ReadBack(batch) => self.acknowledged(state, id, batch),
            Step::Acknowledged(batch) => Some(self.list(state, id, batch)),
            Step::Sweeping(batch, roots) => Some(self.sweep(state, id, batch, roots)),
            Step::Alone(batch) => Some(self.answer(state, id, batch)),
        }
    }
}
