//! What a node does beside batches.

use super::start::release;
use super::{Batch, FREE, LEASE, Look, Mistake, Nodes, Process, Running, State};

impl Nodes {
    /// Asks the server for the lock, before it goes to the HSM.
    pub(super) fn begin_look(&self, state: &mut State, who: usize) -> Option<()> {
        let running = state.running(who)?;
        let at = running.at;
        let had_lock =
            state.servers[at].lock == Some(who) && self.passes_fence(state, at, running.fence);
        let goes_on =
            had_lock || self.makes_any(&[Mistake::LeaseWithoutLock, Mistake::AnswerWithoutLock]);
        (running.looking.is_none() && goes_on).then_some(())?;
        let looking = Some(Look {
            lease: LEASE,
            had_lock,
            answered: false,
        });
        set(state, who, Running { looking, ..running })
    }

    pub(super) fn answer_in_look(&self, state: &mut State, who: usize) -> Option<()> {
        let running = state.running(who)?;
        let look = running.looking?;
        (!look.answered && state.reaches(who)).then_some(())?;
        if look.had_lock || self.makes(Mistake::AnswerWithoutLock) {
            self.answer(state, who, running.at);
        }
        let looking = Some(Look {
            answered: true,
            ..look
        });
        set(state, who, Running { looking, ..running })
    }

    /// Whoever challenges hears that somebody serves.
    pub(super) fn answer(&self, state: &mut State, who: usize, at: usize) {
        let asked = state.wanted.take().is_some_and(|it| it != who);
        if asked && state.servers[at].lock != Some(who) {
            state.answers[who] += 1;
        }
    }

    /// Claim and root. Without the HSM the lease is renewed as well, unless that is not wanted.
    pub(super) fn end_look(&self, state: &mut State, who: usize) -> Option<()> {
        let running = state.running(who)?;
        let look = running.looking?;
        let reaches = state.reaches(who);
        (look.answered || !reaches).then_some(())?;
        let readable = self.writable(state, running.at);
        if reaches && readable && !self.is_ours(state, &running) {
            release(state, running.at, who);
            return state.halt(who);
        }
        let counts = look.had_lock || self.makes(Mistake::LeaseWithoutLock);
        let renews = counts && readable && (reaches || !self.strict);
        let lease = match (renews, self.makes(Mistake::LeaseFromTheEnd)) {
            (false, _) => running.lease,
            (true, false) => running.lease.max(look.lease),
            (true, true) => LEASE,
        };
        let looking = None;
        set(
            state,
            who,
            Running {
                lease,
                looking,
                ..running
            },
        )
    }

    fn is_ours(&self, state: &State, running: &Running) -> bool {
        let root = state.servers[running.at].rows.root;
        state.claim == running.nonce && state.holds(root)
    }

    /// The session with the lock was lost. Whoever has had the lock meanwhile has advanced the fence.
    pub(super) fn lock_again(&self, state: &mut State, who: usize) -> Option<()> {
        let running = state.running(who)?;
        let server = &mut state.servers[running.at];
        (server.lock != Some(who)).then_some(())?;
        if server.follows.is_some() || server.rows.fence != running.fence {
            return state.restart(who);
        }
        server.lock.is_none().then_some(())?;
        server.lock = Some(who);
        state.answers[who] = 0;
        Some(())
    }

    /// The database was away, and what became of the last batch is not known.
    pub(super) fn recover_once(&self, state: &mut State, who: usize) -> Option<()> {
        (state.running(who)?.batch == Batch::None).then_some(())?;
        state.fail()?;
        self.recover(state, who)
    }

    /// Finishes the last batch, from the barrier on; behind a new root if another process may be about to
    /// destroy the one that the rows name.
    pub(super) fn recover(&self, state: &mut State, who: usize) -> Option<()> {
        let running = state.running(who)?;
        let at = running.at;
        (state.reaches(who) && self.writable(state, at)).then_some(())?;
        if !self.is_ours(state, &running) {
            release(state, at, who);
            return state.halt(who);
        }
        let rows = state.servers[at].rows;
        let highest = state.roots.into_iter().max()?.max(rows.epoch);
        let epoch = highest + 1;
        let batch = if running.known || self.makes(Mistake::NoFreshRoot) {
            let (root, replaced) = (rows.root, 0);
            Batch::Committed { root, replaced }
        } else {
            let (root, shreds) = (state.make_root(epoch)?, false);
            Batch::Rooted { root, shreds }
        };
        set(
            state,
            who,
            Running {
                epoch,
                batch,
                ..running
            },
        )
    }

    /// Nobody is served any more; then the claim is given up, and the lock.
    pub(super) fn stop(&self, state: &mut State, who: usize) -> Option<()> {
        let running = state.running(who)?;
        (running.batch == Batch::None).then_some(())?;
        state.fail()?;
        state.processes[who] = Process::Down;
        let at = running.at;
        let writes = self.passes_fence(state, at, running.fence);
        if state.reaches(who) && writes && state.claim == running.nonce {
            state.holder = FREE;
            let nonce = state.draw_nonce()?;
            state.claim = nonce;
            state.servers[at].rows.nonce = nonce;
        }
        release(state, at, who);
        Some(())
    }

    fn makes_any(&self, mistakes: &[Mistake]) -> bool {
        mistakes.iter().any(|mistake| self.makes(*mistake))
    }
}

pub(super) fn set(state: &mut State, who: usize, running: Running) -> Option<()> {
    state.processes[who] = Process::Running(running);
    Some(())
}
