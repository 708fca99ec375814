//! What the endpoints use.

use std::sync::Arc;
use std::time::Duration;

use lethe_core::ports::{AuditSink, Store};

use crate::admission::Admission;
use crate::approvals::Approvals;
use crate::erasure::PendingErasures;
use crate::identity::Gate;
use crate::identity::tls::Handshakes;
use crate::leader::KeeperHandle;
use crate::leader::hsm_moves::HsmMoves;
use crate::limits::Limits;
use crate::node::NodeState;
use crate::node::entropy::SystemEntropy;
use crate::observability::metrics::Metrics;
use crate::observability::telemetry::Telemetry;

/// What every request may use. The hot path takes no lock here and never waits for store or HSM.
pub struct ApiState {
    /// The keys in memory, the time, and the condition of the node.
    pub node: Arc<NodeState>,
    /// The source of random bytes.
    pub entropy: SystemEntropy,
    /// The audit log: it has a record before a key leaves.
    pub audit: Arc<dyn AuditSink>,
    /// The rules about clients: whose certificates are accepted, and what each may do. They can change
    /// at any time.
    pub gate: Arc<Gate>,
    /// The threads that make TLS handshakes.
    pub handshakes: Handshakes,
    /// The metrics of the service.
    pub metrics: Metrics,
    /// Asks the keeper for changes of keyspaces, versions and HSM.
    pub keeper: KeeperHandle,
    /// Approvals: actions that wait for a second operator.
    pub approvals: Arc<Approvals>,
    /// Accepted erasures that are not done yet.
    pub pending_erasures: Arc<PendingErasures>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The HSMs of the configuration.
    pub hsm_moves: Arc<HsmMoves>,
    /// Quotas of data keys, for each client.
    pub limits: Limits,
    /// Limits to connections, requests and bytes, checked before any work is done for a request.
    pub admission: Arc<Admission>,
    /// Number of objects that the HSM may hold, by the configuration.
    pub max_objects: u64,
    /// How long a request may take, from its head to its answer.
    pub request_timeout: Duration,
    /// Traces; none if no collector is configured.
    pub telemetry: Option<Arc<Telemetry>>,
}
