//! Numbers of nonces and roots.

use super::{Batch, NUMBERS, Process, Start, State};

const ALL: std::ops::Range<u8> = 0..8;

impl State {
    /// A nonce that no other is.
    pub(super) fn draw_nonce(&self) -> Option<u8> {
        let rows = self.servers.map(|it| it.rows.nonce);
        let held = self.processes.map(|process| match process {
            Process::Running(running) => running.nonce,
            Process::Starting {
                start: Start::Opening { nonce, .. },
                ..
            } => nonce,
            _ => self.claim,
        });
        let mut all = ALL;
        all.find(|it| *it != self.claim && !rows.contains(it) && !held.contains(it))
    }

    /// A new root with this epoch. None is 0.
    pub(super) fn make_root(&mut self, epoch: u8) -> Option<u8> {
        let known = self.known_roots();
        let root = ALL.skip(1).find(|it| known & (1 << it) == 0)?;
        self.roots[usize::from(root)] = epoch;
        Some(root)
    }

    /// Bit i: root i is in the HSM, or somebody knows it.
    fn known_roots(&self) -> u8 {
        let sent = self.transactions.iter().flatten().map(|it| 1 << it.root);
        let rows = self.servers.iter().map(|it| 1 << it.rows.root);
        let batches = [0, 1].into_iter().filter_map(|who| self.running(who));
        let batches = batches.map(|it| match it.batch {
            Batch::None | Batch::Swept => 0,
            Batch::Rooted { root, .. } => 1 << root,
            Batch::Sent { root, replaced }
            | Batch::Committed { root, replaced }
            | Batch::Flushed { root, replaced }
            | Batch::Claimed { root, replaced } => 1 << root | 1 << replaced,
            Batch::Listed { root, others } | Batch::Destroying { root, others } => {
                1 << root | others
            }
        });
        let known = sent.chain(rows).chain(batches);
        known.fold(self.others(0), |all, known| all | known)
    }

    /// Bit i: root i is in the HSM, beside this one.
    pub(super) fn others(&self, root: u8) -> u8 {
        let there = ALL.filter(|it| *it != root && self.holds(*it));
        there.fold(0, |others, it| others | 1 << it)
    }

    pub(super) fn destroy(&mut self, others: u8) {
        let gone = (0..NUMBERS).filter(|it| others & (1 << it) != 0);
        gone.for_each(|it| self.roots[it] = 0);
    }
}
