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
    /// What the node knows.
    pub node: Arc<NodeState>,
    /// Randomness.
    pub entropy: SystemEntropy,
    /// Where records go before a key leaves.
    pub audit: Arc<dyn AuditSink>,
    /// Who gets in and may do what; reloaded while requests go on.
    pub gate: Arc<Gate>,
    /// Where clients show their certificates.
    pub handshakes: Handshakes,
    /// What Prometheus reads.
    pub metrics: Metrics,
    /// Where changes are asked for.
    pub keeper: KeeperHandle,
    /// What waits for a second operator.
    pub approvals: Arc<Approvals>,
    /// What became of them.
    pub pending_erasures: Arc<PendingErasures>,
    /// What outlives the process.
    pub store: Arc<dyn Store>,
    /// The HSMs of the configuration.
    pub hsm_moves: Arc<HsmMoves>,
    /// How many keys a client may take.
    pub limits: Limits,
    /// What anybody may take before work is done for him.
    pub admission: Arc<Admission>,
    /// Objects that the HSM may hold.
    pub max_objects: u64,
    /// For a whole request.
    pub request_timeout: Duration,
    /// Traces, where a collector is configured.
    pub telemetry: Option<Arc<Telemetry>>,
}
