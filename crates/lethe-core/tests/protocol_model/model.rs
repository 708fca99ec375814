//! The transition system: which actions a state has, and what each does.

use stateright::{Model, Property};

use crate::action::{Action, Purpose};
use crate::cluster::{lease_lapses, reconnect};
use crate::failure::{drop_commit, give_up, lie};
use crate::mutation::{Amendment, Mutation};
use crate::names::{CopyName, Leaf, NodeId};
use crate::operator::back_up;
use crate::properties;
use crate::reader::ReaderMove;
use crate::scope::Scope;
use crate::set::Set;
use crate::state::State;

/// The protocol, as `docs/design.md#batch` says or otherwise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Protocol {
    pub(crate) scope: Scope,
    mistakes: &'static [Mutation],
    amendments: &'static [Amendment],
}

impl Protocol {
    pub(crate) const fn right(scope: Scope) -> Self {
        Self {
            scope,
            mistakes: &[],
            amendments: &[],
        }
    }

    pub(crate) const fn but(self, mistakes: &'static [Mutation]) -> Self {
        Self { mistakes, ..self }
    }

    pub(crate) const fn with(self, amendments: &'static [Amendment]) -> Self {
        Self { amendments, ..self }
    }

    pub(crate) fn makes(&self, mistake: Mutation) -> bool {
        self.mistakes.contains(&mistake)
    }

    pub(crate) fn has(&self, amendment: Amendment) -> bool {
        self.amendments.contains(&amendment)
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(&self.scope)]
    }

    /// More than are possible; the others have no next state.
    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.push(Action::Accept);
        for id in NodeId::ALL {
            node_actions(state, id, actions);
        }
        outside_actions(state, actions);
        if self.scope.budget.reader_leases > 0 {
            let moves = ReaderMove::for_topology(self.scope.topology).iter();
            actions.extend(moves.copied().map(Action::Read));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        self.apply(&mut state, action)?;
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = properties::promises();
        all.extend(properties::reached(self));
        all
    }
}

fn node_actions(state: &State, id: NodeId, actions: &mut Vec<Action>) {
    let node = state.node(id);
    if node.is_stopped() {
        actions.extend(CopyName::ALL.map(|copy| Action::TakeOver(id, copy)));
        return;
    }
    actions.extend([
        Action::Begin(id, Purpose::Shred),
        Action::Begin(id, Purpose::Rotate),
        Action::Advance(id, node.step),
        Action::Fail(id),
        Action::GiveUp(id),
        Action::Lie(id),
        Action::Abort(id),
        Action::Reconnect(id),
        Action::LeaseLapses(id),
    ]);
}

fn outside_actions(state: &State, actions: &mut Vec<Action>) {
    for copy in CopyName::ALL {
        if state.store.copy(copy).committing.is_some() {
            actions.extend([Action::Commit(copy), Action::DropCommit(copy)]);
        }
    }
    actions.extend([
        Action::LateCall,
        Action::Flush,
        Action::FlushCommit,
        Action::FailOver(CopyName::Standby),
        Action::FailOver(CopyName::Old),
        Action::BackUp,
        Action::Restore,
        Action::PutBack,
    ]);
}

impl Protocol {
    /// None when the action is not possible here.
    fn apply(&self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Accept => accept(state),
            Action::Begin(id, purpose) => self.begin(state, id, purpose),
            Action::Advance(id, _) => self.advance(state, id),
            Action::Fail(id) => self.fail(state, id),
            Action::GiveUp(id) => give_up(state, id),
            Action::LateCall => state.hsm.do_late_call(),
            Action::Lie(id) => lie(state, id),
            Action::Abort(id) => self.abort(state, id),
            Action::TakeOver(id, copy) => self.take_over(state, id, copy),
            Action::Reconnect(id) => reconnect(state, id),
            Action::LeaseLapses(id) => lease_lapses(state, id),
            Action::Commit(copy) => self.commit(state, copy),
            Action::DropCommit(copy) => drop_commit(state, copy),
            Action::Flush => self.flush(state),
            Action::FlushCommit => self.flush_commit(state),
            Action::FailOver(copy) => self.fail_over(state, copy),
            Action::BackUp => back_up(state),
            Action::Restore => self.restore(state),
            Action::PutBack => self.put_back(state),
            Action::Read(what) => self.read(state, what),
        }
    }
}

fn accept(state: &mut State) -> Option<()> {
    state.accepted.is_empty().then_some(())?;
    state.accepted = Set::single(Leaf::Shredded);
    Some(())
}
