//! From a spare to a node that serves.

use super::{Batch, DOUBTFUL, FREE, LEASE, Mistake, Nodes, Process, Running, Start, State, WAIT};

impl Nodes {
    /// A spare takes the lock of a primary that it reaches, and ends the sessions that are left there.
    pub(super) fn start(&self, state: &mut State, who: usize, server: usize) -> Option<()> {
        let down = state.processes[who] == Process::Down && state.starts > 0;
        let free = self.writable(state, server) && state.servers[server].lock.is_none();
        (down && free && state.reaches(who)).then_some(())?;
        state.starts -= 1;
        state.servers[server].lock = Some(who);
        self.end_transactions(state, server);
        state.answers[who] = 0;
        set(state, who, server, Start::Locked)
    }

    /// The next step of a start.
    pub(super) fn go_on(&self, state: &mut State, who: usize) -> Option<()> {
        let Process::Starting { at, start } = state.processes[who] else {
            return None;
        };
        state.reaches(who).then_some(())?;
        match start {
            // In the session that has the lock: it fails without.
            Start::Locked => {
                if state.servers[at].lock != Some(who) {
                    return state.restart(who);
                }
                state.servers[at].rows.fence += 1;
                let fence = state.servers[at].rows.fence;
                set(state, who, at, Start::Fenced(fence))
            }
            Start::Fenced(fence) => {
                if state.servers[at].lock != Some(who) {
                    return state.restart(who);
                }
                if !self.makes(Mistake::NoSecondEnd) {
                    self.end_transactions(state, at);
                }
                self.examine(state, who, at, fence)
            }
            Start::Asking { .. } if state.wanted != Some(who) => {
                release(state, at, who);
                state.restart(who)
            }
            Start::Asking { fence, wait } => {
                (wait == 0).then_some(())?;
                let known = false;
                set(state, who, at, Start::Claiming { fence, known })
            }
            Start::Claiming { fence, known } => self.take_claim(state, who, at, fence, known),
            Start::Opening {
                fence,
                known,
                nonce,
                wait,
            } => {
                // An answer that came while the claim was taken: see `copies`.
                let answered = !known && state.wanted != Some(who);
                let waits = answered && !self.makes(Mistake::NoWait);
                (!waits || wait == 0).then_some(())?;
                self.open(state, who, at, fence, known, nonce)
            }
        }
    }

    /// Reads the rows, and compares them with the HSM.
    fn examine(&self, state: &mut State, who: usize, at: usize, fence: u8) -> Option<()> {
        let server = &mut state.servers[at];
        server.read_by = fence;
        let rows = server.rows;
        if !state.holds(rows.root) || rows.nonce != state.claim {
            release(state, at, who);
            return state.halt(who);
        }
        let known = state.holder == who || state.holder == FREE;
        if known || self.makes(Mistake::NoWait) {
            return set(state, who, at, Start::Claiming { fence, known });
        }
        state.wanted = Some(who);
        set(state, who, at, Start::Asking { fence, wait: WAIT })
    }

    /// One step here, some calls in truth: see `copies`.
    fn take_claim(
        &self,
        state: &mut State,
        who: usize,
        at: usize,
        fence: u8,
        known: bool,
    ) -> Option<()> {
        if !self.passes_fence(state, at, fence) {
            return state.restart(who);
        }
        if state.servers[at].rows.nonce != state.claim {
            release(state, at, who);
            return state.halt(who);
        }
        let nonce = state.draw_nonce()?;
        state.claim = nonce;
        state.servers[at].rows.nonce = nonce;
        state.holder = if known { who } else { DOUBTFUL };
        if known {
            state.wanted = None;
        }
        let opening = Start::Opening {
            fence,
            known,
            nonce,
            wait: if known { 0 } else { WAIT },
        };
        set(state, who, at, opening)
    }

    /// Reads the state, says that it holds the claim, and makes its first look.
    fn open(
        &self,
        state: &mut State,
        who: usize,
        at: usize,
        fence: u8,
        known: bool,
        nonce: u8,
    ) -> Option<()> {
        self.writable(state, at).then_some(())?;
        if !known && !self.passes_fence(state, at, fence) {
            return state.restart(who);
        }
        let rows = state.servers[at].rows;
        if state.claim != nonce || !state.holds(rows.root) {
            release(state, at, who);
            return state.halt(who);
        }
        state.holder = who;
        self.answer(state, who, at);
        state.processes[who] = Process::Running(Running {
            at,
            fence,
            nonce,
            epoch: 0,
            known,
            refuses: rows.shredded,
            lease: LEASE,
            looking: None,
            batch: Batch::None,
        });
        self.recover(state, who)
    }
}

fn set(state: &mut State, who: usize, at: usize, start: Start) -> Option<()> {
    state.processes[who] = Process::Starting { at, start };
    Some(())
}

/// The lock goes with the process.
pub(super) fn release(state: &mut State, at: usize, who: usize) {
    let lock = &mut state.servers[at].lock;
    *lock = lock.filter(|it| *it != who);
}
