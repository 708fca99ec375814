//! The promises of `docs/design.md#promises`, and what a search must have seen to be worth something.

use stateright::Property;

use crate::model::Protocol;
use crate::mutation::Amendment;
use crate::names::{CopyName, Leaf, NodeId};
use crate::node::{Batch, Halt, Node, Origin, Step};
use crate::set::Set;
use crate::state::State;

/// After the receipt W and S together do not open the leaf.
pub(crate) const FORGOTTEN: &str = "P1: W and S open no leaf that a receipt covers";
/// The other half of P1: nobody answers from a cache.
pub(crate) const SILENT: &str = "P1: no node gives out a key that a receipt covers";
/// Whatever was destroyed, by whoever halted after it.
pub(crate) const KEPT: &str = "P2: the right copy opens all that nobody wants forgotten";
/// A halt that every new start repeats is a loss, too.
pub(crate) const RUNS: &str = "P2: recovery does not halt on a root that it could have swept";
/// Not a promise: a root that an older leader made too late, or a call that was given up on.
pub(crate) const LATE_ROOT: &str = "a late root of an older epoch halts a leader";

pub(crate) fn promises() -> Vec<Property<Protocol>> {
    vec![
        Property::always(FORGOTTEN, |_, state: &State| {
            !state.receipts.meets(state.derivable())
        }),
        Property::always(SILENT, |_, state: &State| !state.reader.answered_too_late),
        Property::always(KEPT, |_, state: &State| right_copy_opens(state)),
        Property::always(RUNS, |_, state: &State| !has_halted(state, Halt::KnownRoot)),
    ]
}

/// What must happen sometimes, else the promises are kept by doing nothing.
pub(crate) fn reached(protocol: &Protocol) -> Vec<Property<Protocol>> {
    let budget = &protocol.scope.budget;
    let two_batches = budget.fail_overs > 0 && budget.rotations > 0;
    let all = [
        (true, Property::sometimes("a receipt", has_receipt)),
        (true, Property::sometimes("a recovery ends", recovers)),
        (
            budget.fail_overs > 0,
            Property::sometimes("a fail-over is survived", survives),
        ),
        (
            two_batches,
            Property::sometimes("two leaders at work", two_leaders),
        ),
        (two_batches || budget.late_calls > 0, late_root(protocol)),
        (
            budget.restores > 0,
            Property::sometimes("a stale copy halts", stale_copy_halts),
        ),
        (
            budget.backups > 0,
            Property::sometimes("the right copy put back runs", runs_again),
        ),
        (
            budget.lies > 0,
            Property::sometimes("a lie is noticed", lie_is_noticed),
        ),
        (
            budget.reader_leases > 0,
            Property::sometimes("a reader serves on", serves_on),
        ),
    ];
    let possible = all.into_iter().filter(|(possible, _)| *possible);
    possible.map(|(_, property)| property).collect()
}

fn late_root(protocol: &Protocol) -> Property<Protocol> {
    if protocol.has(Amendment::SweepAgain) {
        Property::always(LATE_ROOT, |_, state| !has_halted(state, Halt::LateRoot))
    } else {
        Property::sometimes(LATE_ROOT, |_, state| has_halted(state, Halt::LateRoot))
    }
}

fn has_receipt(_: &Protocol, state: &State) -> bool {
    !state.receipts.is_empty()
}

fn recovers(_: &Protocol, state: &State) -> bool {
    any(state, recovered)
}

fn serves_on(_: &Protocol, state: &State) -> bool {
    state.reader.is_serving() && !state.receipts.is_empty()
}

fn right_copy_opens(state: &State) -> bool {
    let meta = &state.store.copy(state.store.right).meta;
    let needed = Set::all().without(state.accepted);
    state.hsm.holds(meta.root) && needed.without(meta.live).is_empty()
}

fn survives(_: &Protocol, state: &State) -> bool {
    let after = |node: &Node| node.at == CopyName::Standby && wrote(node);
    any(state, after) && state.receipts.contains(Leaf::Shredded)
}

fn two_leaders(_: &Protocol, state: &State) -> bool {
    let [first, second] = NodeId::ALL.map(|id| state.node(id));
    first.at != second.at && wrote(first) && wrote(second)
}

fn stale_copy_halts(_: &Protocol, state: &State) -> bool {
    let old = state.store.copy(CopyName::Old);
    let stale = state.store.serving == CopyName::Old && !state.hsm.holds(old.meta.root);
    stale && has_halted(state, Halt::RootDoesNotOpen)
}

fn runs_again(protocol: &Protocol, state: &State) -> bool {
    let restored = state.left.restores < protocol.scope.budget.restores;
    restored && any(state, |node| node.at != CopyName::Old && recovered(node))
}

fn lie_is_noticed(protocol: &Protocol, state: &State) -> bool {
    let lied = state.left.lies < protocol.scope.budget.lies;
    lied && has_halted(state, Halt::ForeignRoot)
}

fn any(state: &State, holds: impl Fn(&Node) -> bool) -> bool {
    state.nodes().into_iter().any(holds)
}

fn has_halted(state: &State, why: Halt) -> bool {
    any(state, |node| node.step == Step::Halted(why))
}

/// A recovery came to its end.
fn recovered(node: &Node) -> bool {
    matches!(
        node.step,
        Step::Alone(Batch {
            origin: Origin::Found,
            ..
        })
    )
}

/// A batch of the node's own is past its read-back.
fn wrote(node: &Node) -> bool {
    match node.step {
        Step::Acknowledged(batch) | Step::Sweeping(batch, _) | Step::Alone(batch) => {
            batch.origin == Origin::Written
        }
        _ => false,
    }
}
