//! Approvals. An action that destroys much, or lets keys live longer, waits in the store until a second operator,
//! with another name and another key, approves it. Then the action is done.
//!
//! ```text
//! Waiting -> Approved              one transaction: the approval and what it does
//!       \--> Ended(Expired | Withdrawn | Void)
//! ```
//!
//! Each change of state is one statement of the store that succeeds once. The caller whose statement
//! succeeded writes the audit record. If it fails to, the sweep writes it.

mod approve;
mod check;
mod end;
mod record;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use lethe_core::approval::Pool;
use lethe_core::ports::{ApprovalStore, AuditSink, Capacity, Store};
use lethe_core::time::Timestamp;

pub use approve::{ApproveError, Approved, ApprovedEffect, approve};
pub use check::{ApprovalCheck, CheckResult, PendingApproval, digest_key};
pub use end::{WithdrawError, effective, keyspace_exists, superseding_erase, withdraw};
pub use sweep::sweep;

use crate::erasure::AcceptorHandle;
use crate::identity::Gate;
use crate::leader::KeeperHandle;
use crate::node::NodeState;
use crate::node::entropy::SystemEntropy;
use crate::observability::metrics::Metrics;
use crate::permissions::Permissions;

/// Approvals that may wait at the same time.
pub const MAX_WAITING: u32 = 1_000;
/// The part of [`MAX_WAITING`] that only operators may use.
const RESERVED_FOR_OPERATORS: u32 = 100;

/// The settings of approvals, and what asking, approving and ending use.
pub struct Approvals {
    /// The store of approvals.
    pub store: Arc<dyn ApprovalStore>,
    /// The part of [`MAX_WAITING`] that one client may use, so that no client keeps others from asking.
    pub per_client: u32,
    /// How long an approval waits.
    pub expire_after: Duration,
    /// Which calls need an approval.
    pub permissions: Arc<Permissions>,
    /// The keyspaces that exist, and the time.
    pub node: Arc<NodeState>,
    /// The store of erasures.
    pub erasures: Arc<dyn Store>,
    /// Whether the client that asked may still ask.
    pub gate: Arc<Gate>,
    /// Accepts the erasures of an approval.
    pub acceptor: AcceptorHandle,
    /// Makes the other changes of an approval.
    pub keeper: KeeperHandle,
    /// Audit records of approvals.
    pub audit: Arc<dyn AuditSink>,
    /// Counts of approvals.
    pub metrics: Metrics,
    /// Randomness for ids.
    pub entropy: SystemEntropy,
}

impl Approvals {
    /// How many approvals may wait for a pool: message servers cannot use the room of operators.
    const fn capacity(&self, pool: Pool) -> Capacity {
        Capacity {
            all: match pool {
                Pool::MessageServers => MAX_WAITING - RESERVED_FOR_OPERATORS,
                Pool::Operators => MAX_WAITING,
            },
            of_client: self.per_client,
        }
    }

    fn expiry(&self, now: Timestamp) -> Timestamp {
        let millis = u64::try_from(self.expire_after.as_millis());
        now.saturating_add(millis.unwrap_or(u64::MAX))
    }
}
