use serde::Serialize;
use utoipa::ToSchema;

use crate::http::state::ApiState;
use crate::http::times::Rfc3339;
use crate::node::status::Condition;

/// The last status of the HSM.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct HsmDeviceStatus {
    /// False if the last call of the HSM failed.
    reachable: bool,
    /// The number of objects that the HSM may hold, as configured.
    max_objects: u64,
    /// The number of objects on the token, including those of others.
    #[serde(skip_serializing_if = "Option::is_none")]
    objects: Option<u64>,
    /// The free memory that the token reports, in the token's own unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    free_memory: Option<u64>,
    /// The label of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// The model that the token reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// When the HSM reported this.
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
    /// The name of its host.
    name: String,
    /// The release of Lethe that it runs.
    release: &'static str,
    /// When it began to serve.
    #[schema(value_type = String, format = DateTime)]
    started_at: Rfc3339,
    /// The number of open connections.
    connections: u64,
    /// The number of requests that are being run, including this one.
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
