use std::sync::Arc;

use crate::erasure::AcceptorHandle;
use crate::node::NodeState;
use crate::observability::metrics::Metrics;
use crate::observability::telemetry::Telemetry;

/// What the keeper uses beside what it owns.
pub struct Handles {
    /// What the node knows.
    pub node: Arc<NodeState>,
    /// Where the drop of an old key version is accepted.
    pub acceptor: AcceptorHandle,
    /// What Prometheus reads.
    pub metrics: Metrics,
    /// Traces, where a collector is configured.
    pub telemetry: Option<Arc<Telemetry>>,
    /// Objects that the HSM may hold.
    pub max_objects: u64,
}
