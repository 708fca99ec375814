//! Looks, and stops.

use super::{Batch, Copies, FREE, LEASE, Mistake, Process, State};

impl Copies {
    pub(super) fn begin_look(&self, state: &mut State, who: usize) -> Option<()> {
        let now = state.now;
        match &mut state.processes[who] {
            Process::Running { looking, .. } if looking.is_none() => *looking = Some(now),
            _ => return None,
        }
        if state.reaches(who) {
            if self.makes(Mistake::LateAnswer) {
                return self.compare(state, who);
            }
            self.answer(state);
        }
        Some(())
    }

    /// Claim and root.
    fn compare(&self, state: &mut State, who: usize) -> Option<()> {
        if !self.is_ours(state, who) {
            state.processes[who] = Process::Halted;
            return Some(());
        }
        let shredded = state.stores[who]?.shredded;
        let other = state.receipt.is_some_and(|by| by != who);
        state.looked_too_late |= other && !shredded;
        Some(())
    }

    /// Whoever asks hears that somebody lives.
    pub(super) fn answer(&self, state: &mut State) {
        if !self.makes(Mistake::NoAnswer) {
            state.wanted = None;
        }
    }

    /// Without the HSM keys are served on, unless that is not wanted.
    pub(super) fn end_look(&self, state: &mut State, who: usize) -> Option<()> {
        let renewed = state.reaches(who) || !self.strict;
        let now = state.now;
        let is_looking = matches!(
            state.processes[who],
            Process::Running {
                looking: Some(_),
                ..
            }
        );
        if is_looking && state.reaches(who) {
            if self.makes(Mistake::LateAnswer) {
                self.answer(state);
            } else {
                self.compare(state, who)?;
                if state.processes[who] == Process::Halted {
                    return Some(());
                }
            }
        }
        match &mut state.processes[who] {
            Process::Running {
                looked, looking, ..
            } => {
                let begun = looking.take()?;
                state.was_late |= who == 0 && now - *looked > LEASE;
                if renewed {
                    *looked = if self.makes(Mistake::LeaseFromTheEnd) {
                        now
                    } else {
                        begun
                    };
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// Nobody is served any more; then the claim is given up, under a nonce that no earlier copy has.
    pub(super) fn stop(&self, state: &mut State, who: usize) -> Option<()> {
        match state.processes[who] {
            Process::Running {
                batch: Batch::None, ..
            } => {}
            _ => return None,
        }
        state.processes[who] = Process::Down;
        if !state.reaches(who) || !self.is_ours(state, who) {
            return Some(());
        }
        state.holder = FREE;
        let nonce = state.draw();
        state.claim = nonce;
        state.stores[who].as_mut()?.nonce = nonce;
        Some(())
    }
}
