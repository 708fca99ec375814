use std::sync::Arc;

use lethe_core::batch::{Node, Ports};

use crate::erasure::{AcceptorHandle, PendingErasures};
use crate::node::NodeState;
use crate::observability::metrics::Metrics;
use crate::observability::telemetry::Telemetry;
use crate::permissions::Permissions;

/// The parts of the process that the keeper shares with others.
pub struct Handles {
    /// The state of the node.
    pub node: Arc<NodeState>,
    /// The erasures that are accepted and not done yet.
    pub pending_erasures: Arc<PendingErasures>,
    /// Which actions need an approval.
    pub permissions: Arc<Permissions>,
    /// Accepts the drop of an old key version.
    pub acceptor: AcceptorHandle,
    /// The metrics.
    pub metrics: Metrics,
    /// The traces; none if no collector is configured.
    pub telemetry: Option<Arc<Telemetry>>,
}

impl Handles {
    /// The parts of the node that a batch uses.
    pub(super) fn as_node<'a>(&'a self, ports: &'a Ports) -> Node<'a> {
        let key_state = self.node.key_state.as_ref();
        Node {
            ports,
            pages: &key_state.pages,
            holders: key_state,
        }
    }
}
