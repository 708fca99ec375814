use serde::Serialize;
use utoipa::ToSchema;

use crate::http::state::ApiState;
use crate::http::times::Rfc3339;
use crate::node::status::Condition;

/// The HSM as the background work last saw it.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct HsmDeviceStatus {
    /// False while its last call failed.
    reachable: bool,
    /// Objects that it may hold, by the configuration.
    max_objects: u64,
    /// Objects on the token, whoever made them.
    #[serde(skip_serializing_if = "Option::is_none")]
    objects: Option<u64>,
    /// Free memory as the token reports it, in its own measure.
    #[serde(skip_serializing_if = "Option::is_none")]
    free_memory: Option<u64>,
    /// Its label.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// As the token names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// When it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    seen_at: Option<Rfc3339>,
}

impl HsmDeviceStatus {
    pub(super) fn new(condition: &Condition, max_objects: u64) -> Self {
        let seen = condition.seen.as_ref();
        let status = seen.map(|seen| &seen.status);
        Self {
            reachable: condition.hsm().is_none(),
            max_objects,
            objects: status.map(|it| it.objects),
            free_memory: status.and_then(|it| it.free_memory),
            token: status.map(|it| it.token.clone()),
            model: status.map(|it| it.model.clone()),
            seen_at: seen.map(|seen| Rfc3339(seen.at)),
        }
    }
}

/// A node that serves.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct NodeStatus {
    /// Its host.
    name: String,
    /// Its release.
    release: &'static str,
    /// When it began to serve.
    #[schema(value_type = String, format = DateTime)]
    started_at: Rfc3339,
    /// Open connections.
    connections: u64,
    /// Requests under way, this one included.
    requests_under_way: u64,
    /// Clients that connected without a post-quantum key exchange since the start, at most the last 100.
    classical_clients: Vec<String>,
}

impl NodeStatus {
    /// The node that received the request.
    pub(super) fn this(service: &ApiState) -> Self {
        let count = |gauge: i64| u64::try_from(gauge).unwrap_or(0);
        Self {
            name: service.node.this.name.clone(),
            release: env!("CARGO_PKG_VERSION"),
            started_at: Rfc3339(service.node.this.started_at),
            connections: count(service.metrics.connections.get()),
            requests_under_way: service.admission.requests_under_way() as u64,
            classical_clients: {
                let clients = service.handshakes.classical_clients();
                clients.iter().map(ToString::to_string).collect()
            },
        }
    }
}
