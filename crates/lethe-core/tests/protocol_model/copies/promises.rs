//! What must hold, and that each mistake breaks it.

use stateright::{Checker, HasDiscoveries, Model, Property};

use super::{Copies, Mistake, Process, State};

/// Neither gives out what the other has shredded, nor accepts what the other never hears of.
const ALONE: &str = "two copies do not serve at once";
/// The bound where no lease helps: a copy that sees the HSM sees that it is not alone.
const SEEN: &str = "who has looked since another's receipt does not serve";
/// Whatever was destroyed, and by whom.
const OPENS: &str = "P2: the copy that has the claim and serves opens";
/// A clone that is started does not stop the original.
const UNDISTURBED: &str = "a copy that looks in time is not halted";

pub(super) fn all() -> Vec<Property<Copies>> {
    vec![
        Property::always(ALONE, |_, state: &State| {
            !(state.serves(0) && state.serves(1))
        }),
        Property::always(SEEN, |_, state: &State| !state.looked_too_late),
        Property::always(OPENS, |_, state: &State| {
            [0, 1].into_iter().all(|who| opens(state, who))
        }),
        Property::always(UNDISTURBED, |copies, state: &State| {
            let in_time = state.serves(0) && state.reaches(0) && !state.was_late;
            !in_time || copies.is_ours(state, 0)
        }),
        Property::sometimes("the clone halts", |_, state: &State| {
            state.processes[1] == Process::Halted && state.serves(0)
        }),
        Property::sometimes(
            "the clone goes on where the original is dead",
            |_, state: &State| state.serves(1) && state.receipt == Some(1),
        ),
        Property::sometimes("a receipt", |_, state: &State| state.receipt == Some(0)),
    ]
}

fn opens(state: &State, who: usize) -> bool {
    let claimed = state.stores[who].filter(|store| state.claim == store.nonce);
    !state.serves(who) || claimed.is_none_or(|store| state.holds(store.root))
}

const RIGHT: Copies = Copies {
    mistakes: &[],
    cut_off: false,
    strict: false,
};

fn holds(copies: Copies) {
    let search = copies.checker().spawn_bfs().join();
    println!("{} states", search.unique_state_count());
    search.assert_properties();
}

fn breaks(copies: Copies, promise: &'static str) {
    let broken = HasDiscoveries::AnyOf([promise].into());
    let search = copies.checker().finish_when(broken).spawn_bfs().join();
    let history = search.discovery(promise).expect(promise);
    let actions = history.into_actions().into_iter();
    actions.for_each(|action| println!("    {action:?}"));
}

fn caught(mistakes: &'static [Mistake], promise: &'static str) {
    breaks(Copies { mistakes, ..RIGHT }, promise);
}

#[test]
fn holds_for_a_clone_beside_the_original() {
    holds(RIGHT);
}

/// No lease can help whoever is to serve without the HSM: the price of serving on.
#[test]
fn a_clone_beside_an_original_that_has_lost_the_hsm() {
    let cut_off = Copies {
        cut_off: true,
        ..RIGHT
    };
    breaks(cut_off, ALONE);
    holds(Copies {
        strict: true,
        ..cut_off
    });
}

#[test]
fn a_claim_without_a_nonce() {
    caught(&[Mistake::NoNonce], ALONE);
}

#[test]
fn no_look_for_our_own_root() {
    caught(&[Mistake::NoNonce, Mistake::NoLookForOwnRoot], SEEN);
}

#[test]
fn a_start_that_does_not_rotate() {
    caught(&[Mistake::NoRotation], ALONE);
}

#[test]
fn serving_without_the_wait() {
    caught(&[Mistake::NoWait], ALONE);
}

#[test]
fn nobody_answers() {
    caught(&[Mistake::NoAnswer], UNDISTURBED);
}

#[test]
fn no_second_wait_after_an_answer() {
    caught(&[Mistake::NoSecondWait], ALONE);
}

#[test]
fn a_claim_that_does_not_say_that_another_may_serve() {
    caught(&[Mistake::NoDoubt], ALONE);
}

#[test]
fn an_answer_after_the_claim_was_seen() {
    caught(&[Mistake::LateAnswer], ALONE);
}

#[test]
fn a_lease_from_the_end_of_a_look() {
    caught(&[Mistake::LeaseFromTheEnd], ALONE);
}

#[test]
fn no_root_of_its_own_after_taking_over() {
    caught(&[Mistake::NoFreshRoot], OPENS);
}
