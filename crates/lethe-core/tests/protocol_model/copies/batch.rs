//! One shred of the one leaf.

use super::{Batch, Copies, NO_ROOT, Process, State};

impl Copies {
    pub(super) fn shred(&self, state: &mut State, who: usize) -> Option<()> {
        let store = state.stores[who]?;
        // A request comes only while it serves.
        let idle = !store.shredded && state.serves(who) && state.reaches(who);
        idle.then_some(())?;
        let Batch::None = batch_of(state, who)? else {
            return None;
        };
        if !state.holds(store.root) {
            state.processes[who] = Process::Halted;
            return Some(());
        }
        let root = state.make_root();
        set(state, who, Batch::Rooted(root))
    }

    pub(super) fn step(&self, state: &mut State, who: usize) -> Option<()> {
        state.reaches(who).then_some(())?;
        match batch_of(state, who)? {
            Batch::None => None,
            Batch::Rooted(root) => {
                let store = state.stores[who].as_mut()?;
                let old = std::mem::replace(&mut store.root, root);
                store.shredded = true;
                set(state, who, Batch::Committed(old))
            }
            Batch::Committed(old) => {
                let alone = state.holds(old) && state.roots.count_ones() == 2;
                if !self.is_ours(state, who) || !alone {
                    state.processes[who] = Process::Halted;
                    return Some(());
                }
                set(state, who, Batch::Listed(old))
            }
            // The call may be done long after it was sent.
            Batch::Listed(old) => {
                state.destroy(old);
                set(state, who, Batch::Destroyed)
            }
            Batch::Destroyed => {
                let root = state.stores[who]?.root;
                if state.roots & !(1 << root) != NO_ROOT || !state.holds(root) {
                    state.processes[who] = Process::Halted;
                    return Some(());
                }
                state.receipt = Some(who);
                set(state, who, Batch::None)
            }
        }
    }
}

const fn batch_of(state: &State, who: usize) -> Option<Batch> {
    match state.processes[who] {
        Process::Running { batch, .. } => Some(batch),
        _ => None,
    }
}

fn set(state: &mut State, who: usize, to: Batch) -> Option<()> {
    match &mut state.processes[who] {
        Process::Running { batch, .. } => *batch = to,
        _ => return None,
    }
    Some(())
}
