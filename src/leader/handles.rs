use std::sync::Arc;

use lethe_core::batch::{Node, Ports};

use crate::erasure::{AcceptorHandle, PendingErasures};
use crate::node::NodeState;
use crate::observability::metrics::Metrics;
use crate::observability::telemetry::Telemetry;
use crate::permissions::Permissions;

/// What the keeper uses beside what it owns.
pub struct Handles {
    /// What the node knows.
    pub node: Arc<NodeState>,
    /// The erasures that are accepted and not done.
    pub pending_erasures: Arc<PendingErasures>,
    /// What waits for a second operator.
    pub permissions: Arc<Permissions>,
    /// Where the drop of an old key version is accepted.
    pub acceptor: AcceptorHandle,
    /// What Prometheus reads.
    pub metrics: Metrics,
    /// Traces, where a collector is configured.
    pub telemetry: Option<Arc<Telemetry>>,
}

impl Handles {
    /// The node as a batch sees it.
    pub(super) fn as_node<'a>(&'a self, ports: &'a Ports) -> Node<'a> {
        let key_state = self.node.key_state.as_ref();
        Node {
            ports,
            pages: &key_state.pages,
            holders: key_state,
        }
    }
}
