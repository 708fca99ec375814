//! What fails.

use crate::batch::sender;
use crate::hsm::{Label, LateCall};
use crate::model::Protocol;
use crate::mutation::Mutation;
use crate::names::{CopyName, NodeId};
use crate::node::{Change, Halt, Step};
use crate::state::{State, spend};
use crate::sweep::first;

impl Protocol {
    /// A crash, or a call that fails: only a recovery tells what holds. What was done before stays,
    /// so this is a lost answer, too.
    pub(crate) fn fail(&self, state: &mut State, id: NodeId) -> Option<()> {
        spend(&mut state.left.failures)?;
        let careless = self.makes(Mutation::AnswerBeforeConfirmed);
        let step = match state.node(id).step {
            // The HSM is away, which looks the same as a root that is gone.
            Step::TakenOver => Step::Halted(Halt::RootDoesNotOpen),
            Step::Sweeping(batch, roots) if careless => Step::Sweeping(batch, first(roots)?.1),
            _ => Step::Down,
        };
        state.enter(id, step);
        Some(())
    }

    /// The database gives the transaction up, so the node begins again, all secrets anew.
    pub(crate) fn abort(&self, state: &mut State, id: NodeId) -> Option<()> {
        let Step::Written(Change { base, next }) = state.node(id).step else {
            return None;
        };
        spend(&mut state.left.retries)?;
        let kept = self.makes(Mutation::RetryKeepsPageKeys);
        state.enter(id, Step::Ready(base, kept.then_some(next.keys)));
        Some(())
    }
}

/// No answer in time, which is an error to the caller and nothing to the device.
pub(crate) fn give_up(state: &mut State, id: NodeId) -> Option<()> {
    let node = state.node(id);
    let call = match node.step {
        Step::Ready(base, _) => LateCall::Create(Label {
            sequence: base.sequence.next(),
            epoch: node.epoch,
        }),
        Step::Sweeping(_, roots) => LateCall::Destroy(first(roots)?.0),
        _ => return None,
    };
    spend(&mut state.left.late_calls)?;
    state.hsm.give_up(call);
    state.enter(id, Step::Down);
    Some(())
}

/// The device answers that a root is destroyed, and keeps it.
pub(crate) fn lie(state: &mut State, id: NodeId) -> Option<()> {
    let Step::Sweeping(batch, roots) = state.node(id).step else {
        return None;
    };
    let (_, rest) = first(roots)?;
    spend(&mut state.left.lies)?;
    state.enter(id, Step::Sweeping(batch, rest));
    Some(())
}

/// Possible as long as no standby has flushed it.
pub(crate) fn drop_commit(state: &mut State, copy: CopyName) -> Option<()> {
    let flushed = copy == CopyName::Primary && state.store.is_ahead();
    (!flushed).then_some(())?;
    let meta = state.store.copy_mut(copy).committing.take()?;
    // The COMMIT of a node that is dead was paid for with the node.
    if let Some(id) = sender(state, copy, meta) {
        spend(&mut state.left.failures)?;
        state.enter(id, Step::Down);
    }
    Some(())
}
