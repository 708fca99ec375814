//! Step 7: list, destroy one by one, look again.

use crate::model::Protocol;
use crate::mutation::{Amendment, Mutation};
use crate::names::{NodeId, RootId};
use crate::node::{Batch, Halt, Origin, Step};
use crate::set::Set;
use crate::state::State;

impl Protocol {
    /// What is to go. A leader that sleeps between this and the next step destroys it all the same.
    pub(crate) fn list(&self, state: &State, id: NodeId, batch: Batch) -> Step {
        Step::Sweeping(batch, self.doomed(state, id, batch.meta.root))
    }

    fn doomed(&self, state: &State, id: NodeId, root: RootId) -> Set<RootId> {
        if self.makes(Mutation::SweepWithoutEpochGuard) {
            return state.hsm.beside(root);
        }
        let old = state.hsm.roots_up_to(state.node(id).epoch);
        old.without(Set::single(root))
    }

    /// One call of the HSM for each root.
    pub(crate) fn sweep(
        &self,
        state: &mut State,
        id: NodeId,
        batch: Batch,
        roots: Set<RootId>,
    ) -> Step {
        let Some((root, rest)) = first(roots) else {
            return self.look_again(state, id, batch);
        };
        state.hsm.destroy(root);
        Step::Sweeping(batch, rest)
    }

    fn look_again(&self, state: &State, id: NodeId, batch: Batch) -> Step {
        let root = batch.meta.root;
        if self.makes(Mutation::SweepBeforeOpening) && !state.hsm.holds(root) {
            return Step::Halted(Halt::RootDoesNotOpen);
        }
        let blind = self.makes(Mutation::AnswerBeforeConfirmed)
            || self.makes(Mutation::AnswerWithoutLooking);
        let found = state.hsm.beside(root);
        if found.is_empty() || blind {
            return Step::Alone(batch);
        }
        let late = self.doomed(state, id, root);
        let honest = state.left.lies == self.scope.budget.lies;
        if honest && late == found && self.has(Amendment::SweepAgain) {
            return Step::Sweeping(batch, late);
        }
        Step::Halted(self.why(state, id, batch, found))
    }

    fn why(&self, state: &State, id: NodeId, batch: Batch, found: Set<RootId>) -> Halt {
        let node = state.node(id);
        let known = found.iter().any(|root| root < node.first_unknown);
        let newer = found.without(state.hsm.roots_up_to(node.epoch));
        if state.left.lies < self.scope.budget.lies {
            Halt::ForeignRoot
        } else if known && batch.origin == Origin::Found {
            Halt::KnownRoot
        } else if newer.is_empty() {
            Halt::LateRoot
        } else {
            Halt::ForeignRoot
        }
    }
}

pub(crate) fn first(roots: Set<RootId>) -> Option<(RootId, Set<RootId>)> {
    let root = roots.iter().next()?;
    Some((root, roots.without(Set::single(root))))
}
