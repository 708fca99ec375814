//! The servers, and what they do by themselves.

use super::{Mistake, Nodes, State};

impl Nodes {
    /// A server gets all that its primary has committed.
    pub(super) fn flush(&self, state: &mut State, server: usize) -> Option<()> {
        let followed = state.servers[server].follows?;
        let rows = state.servers[followed].rows;
        let behind = state.servers[server].rows != rows;
        (behind && (self.promotes || self.two_members)).then_some(())?;
        state.servers[server].rows = rows;
        Some(())
    }

    /// The first lives on, and can be written too. Nobody has a session at the second.
    pub(super) fn promote(&self, state: &mut State) -> Option<()> {
        let second = &mut state.servers[1];
        (self.promotes && second.follows.is_some()).then_some(())?;
        second.follows = None;
        Some(())
    }

    /// The old primary is rewound, and follows the new one.
    pub(super) fn rejoin(&self, state: &mut State) -> Option<()> {
        let both = self.writable(state, 0) && self.writable(state, 1);
        (both && self.two_members).then_some(())?;
        let rows = state.servers[1].rows;
        let first = &mut state.servers[0];
        (first.follows, first.rows) = (Some(1), rows);
        self.lose_lock(state, 0);
        self.end_transactions(state, 0);
        Some(())
    }

    /// The server ends the session with the lock: the node is cut off or stopped, or the server starts again.
    pub(super) fn end_lock(&self, state: &mut State, server: usize) -> Option<()> {
        state.servers[server].lock?;
        state.fail()?;
        self.lose_lock(state, server);
        Some(())
    }

    pub(super) fn lose_lock(&self, state: &mut State, server: usize) {
        state.servers[server].lock = None;
    }

    pub(super) fn end_transaction(&self, state: &mut State, who: usize) -> Option<()> {
        state.transactions[who].take()?;
        state.fail()
    }

    pub(super) fn end_transactions(&self, state: &mut State, server: usize) {
        for transaction in &mut state.transactions {
            *transaction = transaction.filter(|it| it.at != server);
        }
    }

    /// A transaction takes effect.
    pub(super) fn commit(&self, state: &mut State, who: usize) -> Option<()> {
        let done = state.transactions[who].take()?;
        let server = &mut state.servers[done.at];
        state.wrote_late |= done.fence < server.read_by;
        let rows = &mut server.rows;
        (rows.root, rows.epoch) = (done.root, done.epoch);
        rows.shredded |= done.shreds;
        Some(())
    }

    pub(super) fn writable(&self, state: &State, server: usize) -> bool {
        state.servers[server].follows.is_none()
    }

    /// Whether a transaction of this node may do something now.
    pub(super) fn passes_fence(&self, state: &State, server: usize, fence: u8) -> bool {
        let newest = state.servers[server].rows.fence == fence || self.makes(Mistake::NoFence);
        newest && self.writable(state, server)
    }

    /// Whether all members have what this primary has committed.
    pub(super) fn is_everywhere(&self, state: &State, server: usize) -> bool {
        let other = state.servers[1 - server];
        let follows = other.follows == Some(server) && other.rows == state.servers[server].rows;
        self.writable(state, server) && (follows || !self.two_members)
    }
}
