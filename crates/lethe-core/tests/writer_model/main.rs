//! Somebody writes to the database of a stopped service, and to nothing else: every way to edit, make
//! up, remove and bring back a few rows, between every step of a service that accepts, forgets, signs
//! and crashes. Each check of a row that is left out breaks a promise.
//!
//! The directory and the HSM are out of the writer's reach. A MAC stands for the row that it was made
//! of; the writer knows all that were ever made.

mod mistakes;
mod service;
mod state;
mod writer;

use stateright::{Checker, HasDiscoveries, Model, Property};

use service::Step;
use state::{Phase, State, Who};
use writer::Edit;

/// A check that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    RequestWithoutMac,
    /// The MAC does not say which place the request has.
    MacWithoutNumber,
    /// What comes next is what is there.
    GapsPass,
    /// Whatever is unsigned is signed.
    AnyUnsignedBatch,
    /// The batch that is signed is compared with nothing.
    BatchNotCommitted,
    BucketWithoutMac,
    KeyspacesNotCommitted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Service(Step),
    Writer(Edit),
}

/// The service with at most one mistake.
#[derive(Debug, Clone, Copy)]
struct Deployment(Option<Mistake>);

impl Deployment {
    fn makes(self, mistake: Mistake) -> bool {
        self.0 == Some(mistake)
    }
}

const TRUE: &str = "P6: what a receipt speaks of is forgotten";
const ASKED: &str = "P6: no receipt for what nobody asked for";
const DONE: &str = "P1: what was accepted is not passed over";
const BORN: &str = "P6: no receipt for the end of a key that never was";
const RETIRED: &str = "P1: a version that was refused stays refused";

impl Model for Deployment {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new()]
    }

    fn actions(&self, _: &State, actions: &mut Vec<Action>) {
        actions.extend(Step::ALL.map(Action::Service));
        actions.extend(Edit::all().map(Action::Writer));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Service(step) => step.take(*self, &mut state)?,
            Action::Writer(edit) => edit.apply(&mut state)?,
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(TRUE, |_, state: &State| {
                state
                    .receipts
                    .iter()
                    .all(|who| state.forgotten.contains(who))
            }),
            Property::always(ASKED, |_, state: &State| {
                !state.receipts.contains(&Who::NeverAsked)
            }),
            Property::always(DONE, |_, state: &State| {
                let mut done = state.accepted.iter().take(state.directory.fulfilled.into());
                done.all(|who| state.forgotten.contains(who))
            }),
            Property::always(BORN, |_, state: &State| !state.false_expiry),
            Property::always(RETIRED, |_, state: &State| {
                state.phase != Phase::Running || state.minimum >= state.directory.minimum
            }),
            Property::sometimes("a receipt", |_, state: &State| !state.receipts.is_empty()),
            Property::sometimes("it halts", |_, state: &State| state.phase == Phase::Halted),
            Property::sometimes("a crash is survived", |_, state: &State| {
                state.crashed && state.receipts.len() == 2 && state.edits == 0
            }),
        ]
    }
}

#[test]
fn no_edit_breaks_a_promise() {
    let search = Deployment(None).checker().spawn_bfs().join();
    println!("{} states", search.unique_state_count());
    search.assert_properties();
}

/// This promise is among those that are broken in the shortest histories.
fn breaks(mistake: Mistake, promise: &'static str) {
    let checker = Deployment(Some(mistake)).checker();
    let search = checker
        .finish_when(HasDiscoveries::AllOf([promise].into()))
        .spawn_bfs()
        .join();
    let history = search.discovery(promise).expect(promise);
    println!("{mistake:?}: {:?}", history.into_actions());
}
