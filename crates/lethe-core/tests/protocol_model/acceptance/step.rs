//! What each action does.

use super::{Acceptance, Action, Approval, Mistake, Request, Seen, State};

impl Acceptance {
    pub(super) fn step(&self, state: State, action: Action) -> State {
        match action {
            Action::Ask if !state.granted => state,
            Action::Ask => self.ask(state),
            Action::ActOnSeen => act_on_seen(state),
            Action::Approve => self.approve(state, true),
            Action::ApproveOwn if self.has(Mistake::OwnApproval) => self.approve(state, false),
            Action::ApproveOwn => state,
            Action::Sweep => self.sweep(state),
            Action::Finish => finish(state),
            Action::ForgetReceipt => forget_receipt(state),
            Action::ForgetApproval => forget_approval(state),
            Action::WithdrawGrant => State {
                granted: false,
                ..state
            },
        }
    }

    fn has(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    /// One look and one decision, in one step.
    fn ask(&self, state: State) -> State {
        if state.request != Request::None {
            let looks = self.has(Mistake::TwoLooks);
            let seen = if looks { Seen::Known } else { state.seen };
            return State { seen, ..state };
        }
        if state.window > 0 {
            let window = state.window - 1;
            return accept(State { window, ..state }, true);
        }
        match state.approval {
            Approval::None => State {
                approval: Approval::Pending,
                ..state
            },
            Approval::Approved if self.has(Mistake::TwoLooksAtApproval) => State {
                seen: Seen::Approved,
                ..state
            },
            Approval::Pending | Approval::Approved | Approval::Ended => state,
        }
    }

    /// Approved and accepted in one step, or ended.
    fn approve(&self, state: State, by_another: bool) -> State {
        if state.approval != Approval::Pending {
            return state;
        }
        if !state.granted && !self.has(Mistake::GrantNotAsked) {
            return State {
                approval: Approval::Ended,
                ..state
            };
        }
        let approved = State {
            approval: Approval::Approved,
            proof: by_another && state.granted,
            ..state
        };
        if self.has(Mistake::AcceptedBySweep) || state.request != Request::None {
            return approved;
        }
        accept_approved(approved)
    }

    fn sweep(&self, state: State) -> State {
        let due = state.approval == Approval::Approved && state.request == Request::None;
        if due && self.has(Mistake::AcceptedBySweep) {
            accept_approved(state)
        } else {
            state
        }
    }
}

fn finish(state: State) -> State {
    match state.request {
        Request::Accepted => State {
            request: Request::Done,
            ..state
        },
        Request::None | Request::Done => state,
    }
}

/// What was seen may be gone by now.
fn act_on_seen(state: State) -> State {
    let next = State {
        seen: Seen::Nothing,
        ..state
    };
    match state.seen {
        Seen::Known | Seen::Approved if state.request == Request::None => accept(next, false),
        _ => next,
    }
}

fn accept_approved(state: State) -> State {
    let proven = state.proof;
    accept(
        State {
            proof: false,
            ..state
        },
        proven,
    )
}

fn accept(state: State, proven: bool) -> State {
    State {
        request: Request::Accepted,
        unproven: state.unproven || !proven,
        accepted: (state.accepted + 1).min(3),
        ..state
    }
}

fn forget_receipt(state: State) -> State {
    match state.request {
        Request::Done => State {
            request: Request::None,
            ..state
        },
        Request::None | Request::Accepted => state,
    }
}

/// What is pending stays until it ends.
fn forget_approval(state: State) -> State {
    match state.approval {
        Approval::Approved | Approval::Ended => State {
            approval: Approval::None,
            ..state
        },
        Approval::None | Approval::Pending => state,
    }
}
