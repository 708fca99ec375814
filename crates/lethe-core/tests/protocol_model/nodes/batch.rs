//! One shred of the one conversation, and the end of a batch that another node began.

use super::serve::set;
use super::start::release;
use super::{Batch, Mistake, Nodes, Running, State, Transaction};

impl Nodes {
    /// A request comes while the node serves. From its acceptance on the node refuses the keys.
    pub(super) fn shred(&self, state: &mut State, who: usize) -> Option<()> {
        let running = state.running(who)?;
        let idle = running.batch == Batch::None && state.serves(who) && state.reaches(who);
        let rows = state.servers[running.at].rows;
        let accepts = self.passes_fence(state, running.at, running.fence) && !rows.shredded;
        (idle && accepts).then_some(())?;
        if !state.holds(rows.root) {
            release(state, running.at, who);
            return state.halt(who);
        }
        let (root, shreds) = (state.make_root(running.epoch)?, true);
        let (batch, refuses) = (Batch::Rooted { root, shreds }, true);
        set(
            state,
            who,
            Running {
                batch,
                refuses,
                ..running
            },
        )
    }

    /// The next step of a batch.
    pub(super) fn step(&self, state: &mut State, who: usize) -> Option<()> {
        let running = state.running(who)?;
        let batch = match running.batch {
            Batch::None => return None,
            Batch::Rooted { root, shreds } => self.send(state, who, &running, root, shreds)?,
            Batch::Sent { root, replaced } => {
                state.transactions[who].is_none().then_some(())?;
                if state.servers[running.at].rows.root != root {
                    return self.recover(state, who);
                }
                Batch::Committed { root, replaced }
            }
            Batch::Committed { root, replaced } => {
                let at = running.at;
                let enough = self.makes(Mistake::WeakBarrier) && self.writable(state, at);
                (enough || self.is_everywhere(state, at)).then_some(())?;
                if state.servers[at].rows.root != root {
                    return state.halt(who);
                }
                Batch::Flushed { root, replaced }
            }
            _ => {
                state.reaches(who).then_some(())?;
                return self.sweep(state, who, running);
            }
        };
        set(state, who, Running { batch, ..running })
    }

    /// The first statement reads the fence, and the last one commits: that is the server's turn.
    fn send(
        &self,
        state: &mut State,
        who: usize,
        running: &Running,
        root: u8,
        shreds: bool,
    ) -> Option<Batch> {
        let at = running.at;
        let free = state.transactions[who].is_none() && self.passes_fence(state, at, running.fence);
        free.then_some(())?;
        let replaced = state.servers[at].rows.root;
        state.transactions[who] = Some(Transaction {
            at,
            fence: running.fence,
            root,
            epoch: running.epoch,
            shreds,
        });
        Some(Batch::Sent { root, replaced })
    }

    fn sweep(&self, state: &mut State, who: usize, running: Running) -> Option<()> {
        let early = self.makes(Mistake::ClaimBeforeList);
        let ours = state.claim == running.nonce;
        let batch = match running.batch {
            Batch::Flushed { root, replaced } if early => {
                if !ours {
                    return state.halt(who);
                }
                Batch::Claimed { root, replaced }
            }
            Batch::Flushed { root, replaced } | Batch::Claimed { root, replaced } => {
                let others = state.others(root);
                let lost = !state.holds(root) || (replaced != 0 && !state.holds(replaced));
                let newer = state.roots.iter().any(|epoch| *epoch > running.epoch);
                if lost || newer {
                    return state.halt(who);
                }
                match others {
                    0 => Batch::Swept,
                    _ if early => Batch::Destroying { root, others },
                    _ => Batch::Listed { root, others },
                }
            }
            Batch::Listed { root, others } => {
                if !ours {
                    return state.halt(who);
                }
                Batch::Destroying { root, others }
            }
            // The next round looks whether any is left.
            Batch::Destroying { root, others } => {
                state.destroy(others);
                let replaced = 0;
                match early {
                    true => Batch::Claimed { root, replaced },
                    false => Batch::Flushed { root, replaced },
                }
            }
            Batch::Swept => {
                // The receipt is written down before anybody gets it.
                self.passes_fence(state, running.at, running.fence)
                    .then_some(())?;
                state.receipt |= state.servers[running.at].rows.shredded;
                let (batch, known) = (Batch::None, true);
                return set(
                    state,
                    who,
                    Running {
                        batch,
                        known,
                        ..running
                    },
                );
            }
            _ => return None,
        };
        set(state, who, Running { batch, ..running })
    }
}
