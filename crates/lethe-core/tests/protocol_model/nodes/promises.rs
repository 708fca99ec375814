//! What must hold, and that each mistake breaks it.

use stateright::{Checker, HasDiscoveries, Model, Property};

use super::{Batch, Mistake, Nodes, Process, State};

/// Neither accepts what the other never hears of.
const ALONE: &str = "two nodes do not serve at once";
/// No key of a shredded conversation leaves behind the receipt.
const FORGOTTEN: &str = "P1: who serves after a receipt refuses the keys";
const FENCED: &str = "a transaction of a node has no effect after its successor has read the rows";
/// Of all copies that could ever be promoted.
const OPENS: &str = "P2: what a member names is in the HSM";
/// Whatever the copy is that it has started on.
const SERVES: &str = "P2: the node that has the claim and serves opens";
/// A look may have begun before the lock was lost; the next one does not begin.
const YIELDS: &str = "a node that has lost the lock answers one challenge at most";

pub(super) fn all() -> Vec<Property<Nodes>> {
    vec![
        Property::always(ALONE, |_, state: &State| {
            !(state.serves(0) && state.serves(1))
        }),
        Property::always(FORGOTTEN, |_, state: &State| {
            let gives = |who| state.serves(who) && state.running(who).is_some_and(|it| !it.refuses);
            !state.receipt || ![0, 1].into_iter().any(gives)
        }),
        Property::always(FENCED, |_, state: &State| !state.wrote_late),
        Property::always(OPENS, |nodes: &Nodes, state: &State| {
            let members = match (nodes.two_members, nodes.promotes) {
                (true, _) => 2,
                (false, false) => 1,
                // Its backup has a new root, when it is started.
                (false, true) => 0,
            };
            let mut members = state.servers[..members].iter();
            members.all(|it| state.holds(it.rows.root))
        }),
        Property::always(SERVES, |_, state: &State| {
            [0, 1].into_iter().all(|who| opens(state, who))
        }),
        Property::always(YIELDS, |_, state: &State| {
            state.answers.iter().all(|answers| *answers < 2)
        }),
        Property::sometimes("a receipt", |_, state: &State| state.receipt),
        Property::sometimes("the spare serves", |_, state: &State| state.serves(1)),
        Property::sometimes("the spare goes back", |_, state: &State| {
            state.serves(0) && state.starts == 1 && state.processes[1] == Process::Down
        }),
        Property::sometimes("the spare gives the receipt", |_, state: &State| {
            state.receipt && state.serves(1) && !state.serves(0)
        }),
    ]
}

fn opens(state: &State, who: usize) -> bool {
    let Some(running) = state.running(who) else {
        return true;
    };
    let claimed = state.claim == running.nonce && state.serves(who);
    // It has the state in memory, and is about to write it under this root.
    let next = match running.batch {
        Batch::Rooted { root, .. } | Batch::Sent { root, .. } => state.holds(root),
        _ => false,
    };
    !claimed || next || state.holds(state.servers[running.at].rows.root)
}

/// Two primaries.
const RIGHT: Nodes = Nodes {
    mistakes: &[],
    two_members: true,
    cut_off: false,
    strict: false,
    promotes: true,
    failures: 0,
};

const ONE_PRIMARY: Nodes = Nodes {
    two_members: false,
    promotes: false,
    failures: 2,
    ..RIGHT
};

const BACKUP: Nodes = Nodes {
    two_members: false,
    ..RIGHT
};

fn holds(nodes: Nodes) {
    let search = nodes.checker().threads(2).spawn_bfs().join();
    println!("{} states", search.unique_state_count());
    search.assert_properties();
}

fn breaks(nodes: Nodes, promise: &'static str) {
    let broken = HasDiscoveries::AnyOf([promise].into());
    let search = nodes.checker().finish_when(broken).spawn_bfs().join();
    println!("{} states", search.unique_state_count());
    let history = search.discovery(promise).expect(promise);
    let actions = history.into_actions().into_iter();
    actions.for_each(|action| println!("    {action:?}"));
}

fn caught(mistakes: &'static [Mistake], promise: &'static str) {
    breaks(
        Nodes {
            mistakes,
            ..ONE_PRIMARY
        },
        promise,
    );
}

#[test]
fn holds_on_one_primary() {
    holds(ONE_PRIMARY);
}

#[test]
fn holds_where_either_of_two_primaries_is_enough() {
    holds(RIGHT);
}

/// No lease can help whoever is to serve without the HSM, where either of two primaries is enough.
#[test]
fn an_old_primary_whose_node_has_lost_the_hsm() {
    let cut_off = Nodes {
        cut_off: true,
        ..RIGHT
    };
    breaks(cut_off, ALONE);
    breaks(cut_off, FORGOTTEN);
    holds(Nodes {
        strict: true,
        ..cut_off
    });
}

/// A backup that is started beside the primary.
#[test]
fn no_root_of_its_own_after_taking_over() {
    holds(BACKUP);
    breaks(
        Nodes {
            mistakes: &[Mistake::NoFreshRoot],
            ..BACKUP
        },
        SERVES,
    );
}

#[test]
fn no_fence() {
    caught(&[Mistake::NoFence], FENCED);
}

#[test]
fn no_session_is_ended_behind_the_fence() {
    caught(&[Mistake::NoSecondEnd], FENCED);
}

#[test]
fn no_wait_after_the_challenge() {
    caught(&[Mistake::NoWait], ALONE);
}

#[test]
fn a_lease_from_the_end_of_a_look() {
    caught(&[Mistake::LeaseFromTheEnd], ALONE);
}

#[test]
fn a_lease_without_the_database() {
    caught(&[Mistake::LeaseWithoutLock], ALONE);
}

#[test]
fn an_answer_without_the_lock() {
    caught(&[Mistake::AnswerWithoutLock], YIELDS);
}

#[test]
fn a_weak_barrier_before_a_root_is_destroyed() {
    let mistakes = &[Mistake::WeakBarrier];
    breaks(Nodes { mistakes, ..RIGHT }, OPENS);
}

#[test]
fn a_claim_that_is_looked_at_before_the_list() {
    caught(&[Mistake::ClaimBeforeList], OPENS);
}
