//! Acceptance as an explicit-state model: one id, sent again and again by one client, a second
//! operator, a window of what needs no approval, and the deletion of old receipts, of approvals, and
//! of grants between any two steps. Nothing new is accepted without its proof.

mod mistakes;
mod step;

use stateright::{Checker, HasDiscoveries, Model, Property};

/// What the store holds of the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Request {
    /// Nothing: never seen, or its receipt was kept long enough.
    None,
    /// Accepted, and not done yet: such a row stays.
    Accepted,
    /// Destroyed, with a receipt.
    Done,
}

/// What the store holds of the approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Approval {
    None,
    Pending,
    /// A second operator has approved; its request was accepted with it.
    Approved,
    /// Void: who asked may not ask any more.
    Ended,
}

/// What a call has seen that looks first and acts later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Seen {
    Nothing,
    /// The id was known, so no approval is needed.
    Known,
    /// The approval was there and approved.
    Approved,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    request: Request,
    approval: Approval,
    /// New requests that still need no approval.
    window: u8,
    /// The client may still ask.
    granted: bool,
    seen: Seen,
    /// Not of the protocol: a second operator has approved, and nothing was accepted for it yet.
    proof: bool,
    /// Not of the protocol: something was accepted without a proof.
    unproven: bool,
    /// Not of the protocol: how often something new was accepted, up to 3.
    accepted: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    /// The client sends the id.
    Ask,
    /// A call that looked before acts on what it saw.
    ActOnSeen,
    /// Somebody else approves.
    Approve,
    /// The client itself approves.
    ApproveOwn,
    /// The work that goes over approved requests comes by.
    Sweep,
    /// The batch is done.
    Finish,
    ForgetReceipt,
    ForgetApproval,
    WithdrawGrant,
}

/// One rule that is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    /// A call looks whether the id is known, then hands the request on as one that needs no approval.
    TwoLooks,
    /// A call looks whether its approval is there, then hands the request on as approved.
    TwoLooksAtApproval,
    /// Approving does not ask whether the client may still ask.
    GrantNotAsked,
    /// Approving does not ask who approves.
    OwnApproval,
    /// Approved requests are accepted by the sweep, which takes what is not known as not done yet.
    AcceptedBySweep,
}

struct Acceptance {
    mistake: Option<Mistake>,
}

const NOTHING_WITHOUT_PROOF: &str = "nothing new is accepted without its proof";

impl Model for Acceptance {
    type State = State;
    type Action = Action;

    /// The id may be that of an old shred, whose receipt is still there.
    fn init_states(&self) -> Vec<State> {
        let start = |request| State {
            request,
            approval: Approval::None,
            window: 1,
            granted: true,
            seen: Seen::Nothing,
            proof: false,
            unproven: false,
            accepted: 0,
        };
        vec![start(Request::None), start(Request::Done)]
    }

    fn actions(&self, _: &State, actions: &mut Vec<Action>) {
        actions.extend([
            Action::Ask,
            Action::ActOnSeen,
            Action::Approve,
            Action::ApproveOwn,
            Action::Sweep,
            Action::Finish,
            Action::ForgetReceipt,
            Action::ForgetApproval,
            Action::WithdrawGrant,
        ]);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let next = self.step(*state, action);
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NOTHING_WITHOUT_PROOF, |_, state: &State| !state.unproven),
            Property::sometimes("one is accepted without an approval", |_, state: &State| {
                state.accepted == 1 && state.window == 0 && state.approval == Approval::None
            }),
            Property::sometimes("one is accepted with an approval", |_, state: &State| {
                state.approval == Approval::Approved && state.accepted > 0
            }),
            Property::sometimes(
                "one waits until its client's grant is gone",
                |_, state: &State| state.approval == Approval::Ended,
            ),
            Property::sometimes("an id is used again and again", |_, state: &State| {
                state.accepted == 3
            }),
        ]
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.accepted <= 3
    }
}

#[test]
fn holds_whatever_is_deleted_meanwhile() {
    let search = Acceptance { mistake: None }.checker().spawn_bfs().join();
    println!("{} states", search.unique_state_count());
    search.assert_properties();
}

/// The mistake breaks the promise.
fn caught(mistake: Mistake) {
    let model = Acceptance {
        mistake: Some(mistake),
    };
    let checker = model.checker().finish_when(HasDiscoveries::AnyFailures);
    let search = checker.spawn_bfs().join();
    let history = search.discovery(NOTHING_WITHOUT_PROOF);
    let history = history.expect("the mistake is not caught").into_actions();
    println!("{mistake:?}: {history:?}");
}
