//! From a start to the first look.

use super::{Batch, Copies, DOUBTFUL, FREE, LEASE, Mistake, Process, State, Store, WAIT};

impl Copies {
    /// The root is there, the nonce is the claim's; then by what is known of the holder.
    pub(super) fn start(&self, state: &mut State, who: usize) -> Option<()> {
        let store = state.stores[who]?;
        let stopped = state.processes[who] == Process::Down && state.starts > 0;
        (stopped && state.reaches(who)).then_some(())?;
        state.starts -= 1;
        let level = state.claim == store.nonce || state.claim == store.next;
        state.processes[who] =
            if !state.holds(store.root) || !(level || self.makes(Mistake::NoNonce)) {
                Process::Halted
            } else if state.holder == who || state.holder == FREE {
                // Its own file is locked by itself now, on the same machine; or the claim was given up.
                Process::Claiming(true)
            } else if self.makes(Mistake::NoWait) {
                Process::Claiming(false)
            } else {
                state.wanted = Some(who);
                Process::Asking(state.now)
            };
        Some(())
    }

    /// The next step of a start.
    pub(super) fn go_on(&self, state: &mut State, who: usize) -> Option<()> {
        state.reaches(who).then_some(())?;
        state.processes[who] = match state.processes[who] {
            Process::Asking(_) if state.wanted != Some(who) => Process::Halted,
            Process::Asking(since) => {
                (state.now >= since + WAIT).then_some(())?;
                Process::Claiming(false)
            }
            Process::Claiming(known) => {
                if !self.take_claim(state, who, known)? {
                    state.processes[who] = Process::Halted;
                    return Some(());
                }
                Process::Opening(known, state.now)
            }
            Process::Opening(known, since) => {
                // An answer that came while the claim was taken: whoever gave it may have renewed its lease.
                let answered = !known && state.wanted != Some(who);
                let hurries = [Mistake::NoWait, Mistake::NoSecondWait];
                let waits = answered && !hurries.iter().any(|mistake| self.makes(*mistake));
                (!waits || state.now >= since + WAIT).then_some(())?;
                state.was_late |= who == 0 && state.now - since > LEASE;
                self.open(state, who, known)?
            }
            _ => return None,
        };
        Some(())
    }

    /// The next nonce goes to the store, then to the HSM, then counts; false when the claim is not level
    /// any more. One step here, two calls in PKCS#11: what slips in between is found by the next look.
    fn take_claim(&self, state: &mut State, who: usize, known: bool) -> Option<bool> {
        let mut store = state.stores[who]?;
        if !self.is_level(state, &store) {
            return Some(false);
        }
        let knows = known || self.makes(Mistake::NoDoubt);
        state.holder = if knows { who } else { DOUBTFUL };
        if self.makes(Mistake::NoRotation) {
            return Some(true);
        }
        let nonce = state.draw();
        state.claim = nonce;
        (store.nonce, store.next) = (nonce, 0);
        state.stores[who] = Some(store);
        Some(true)
    }

    fn is_level(&self, state: &State, store: &Store) -> bool {
        let level = state.claim == store.nonce || state.claim == store.next;
        level || self.makes(Mistake::NoNonce)
    }

    /// The lease begins before the claim is looked at once more. Whoever may be about to destroy the
    /// root that the store names destroys it in vain, once the store names another.
    fn open(&self, state: &mut State, who: usize, known: bool) -> Option<Process> {
        let mut store = state.stores[who]?;
        if !self.is_ours(state, who) {
            return Some(Process::Halted);
        }
        if !known && !self.makes(Mistake::NoFreshRoot) {
            store.root = state.make_root();
            state.stores[who] = Some(store);
        }
        state.roots = 1 << store.root;
        state.holder = who;
        self.answer(state);
        Some(Process::Running {
            looked: state.now,
            looking: None,
            batch: Batch::None,
        })
    }

    /// What a look, and a batch before it destroys anything, wants to see.
    pub(super) fn is_ours(&self, state: &State, who: usize) -> bool {
        let Some(store) = state.stores[who] else {
            return false;
        };
        let claimed = self.makes(Mistake::NoNonce) || state.claim == store.nonce;
        claimed && (self.makes(Mistake::NoLookForOwnRoot) || state.holds(store.root))
    }
}
