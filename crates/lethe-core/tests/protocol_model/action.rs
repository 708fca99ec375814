//! What can happen next.

use crate::names::{CopyName, NodeId};
use crate::node::Step;
use crate::reader::ReaderMove;

/// What a batch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Shred,
    /// A new key version: forgets nothing. So does the batch of a leader that was cut off before
    /// its successor accepted a shred.
    Rotate,
}

/// One event of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// The shred is accepted.
    Accept,
    /// A leader begins a batch.
    Begin(NodeId, Purpose),
    /// A node goes on from the step where it stands.
    Advance(NodeId, Step),
    /// A node dies, or a call fails. What it had done stays done.
    Fail(NodeId),
    /// A node gives up a call of the HSM.
    GiveUp(NodeId),
    /// The HSM does it all the same.
    LateCall,
    /// The HSM answers that it destroyed a root, and keeps it.
    Lie(NodeId),
    /// The database gives up a transaction, and says so.
    Abort(NodeId),
    /// A node starts or recovers on this copy.
    TakeOver(NodeId, CopyName),
    /// A node's pool finds the promoted copy.
    Reconnect(NodeId),
    /// A leader runs out of lease.
    LeaseLapses(NodeId),
    /// The database does a COMMIT, whether the node that sent it lives or not.
    Commit(CopyName),
    /// The database drops a COMMIT.
    DropCommit(CopyName),
    /// The standby flushes all that the primary has committed.
    Flush,
    /// The standby flushes a COMMIT that the primary has not answered.
    FlushCommit,
    /// The cluster promotes a copy.
    FailOver(CopyName),
    /// The old copy becomes what the serving one is.
    BackUp,
    /// An operator starts the old copy.
    Restore,
    /// An operator puts the right copy back.
    PutBack,
    /// The reader does something.
    Read(ReaderMove),
}
