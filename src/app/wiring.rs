//! Gives each room of the service what it uses of adapters that are open and of the other rooms.

use std::collections::HashMap;
use std::sync::Arc;

use lethe_audit::FileAuditSink;
use lethe_core::batch::{Halt, Ports};
use lethe_core::hsm_move::published_keys;
use lethe_core::identity::DeploymentId;
use lethe_core::ports::StoreError;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::adapters::Adapters;
use super::devices::max_objects;
use super::stores::ServiceStore;
use super::tasks::Tasks;
use super::{AppError, claim};
use crate::admission::{Admission, RefusalSummary};
use crate::approvals::Approvals;
use crate::config::Config;
use crate::erasure::{Acceptor, AcceptorHandle, PendingErasures};
use crate::http::{self, ApiState};
use crate::identity::tls::Handshakes;
use crate::identity::{Access, Gate};
use crate::leader::hsm_moves::HsmMoves;
use crate::leader::{Handles, Keeper, KeeperHandle, KeeperLimits};
use crate::limits::Limits;
use crate::node::clock::ClockMark;
use crate::node::entropy::SystemEntropy;
use crate::node::key_state::KeyState;
use crate::node::key_uses::KeyUses;
use crate::node::status::ThisNode;
use crate::node::{ClaimWatch, NodeState};
use crate::observability::telemetry::{Delivery, Route, Telemetry};
use crate::permissions::Permissions;

/// A service whose parts know each other; none of them works yet but what accepts erasures.
pub(super) struct Wired {
    pub(super) keeper: Keeper,
    pub(super) watch: ClaimWatch,
    pub(super) opened: Opened,
}

/// What is used until the end, and closed there.
pub(super) struct Opened {
    pub(super) service: Arc<ApiState>,
    /// What works beside requests, until all of it is stopped.
    pub(super) tasks: Tasks,
    pub(super) refusals: Arc<RefusalSummary>,
    pub(super) ports: Ports,
    pub(super) store: Arc<dyn ServiceStore>,
    pub(super) audit: Arc<FileAuditSink>,
    pub(super) delivery: Option<Delivery>,
}

/// The deployment whose claim is taken, and what its node knows.
struct Deployment {
    ports: Ports,
    limits: KeeperLimits,
    pending_erasures: Arc<PendingErasures>,
    permissions: Arc<Permissions>,
    node: Arc<NodeState>,
}

/// Takes the claim in the HSM, opens the deployment and wires all of it.
///
/// # Errors
/// [`AppError`]; nothing was destroyed.
pub(super) async fn wire(config: &Config, adapters: Adapters) -> Result<Wired, AppError> {
    let deployment = Deployment::find(config, &adapters).await?;
    let telemetry = Telemetry::start(&config.telemetry, span_routes(), &adapters.metrics)?;
    let (telemetry, delivery) = telemetry.unzip();
    let telemetry = telemetry.map(Arc::new);
    let (accepting, acceptor) = deployment.acceptor();
    let handles = Handles {
        node: Arc::clone(&deployment.node),
        pending_erasures: Arc::clone(&deployment.pending_erasures),
        permissions: Arc::clone(&deployment.permissions),
        acceptor: acceptor.clone(),
        metrics: adapters.metrics.clone(),
        telemetry: telemetry.clone(),
    };
    let (keeper, keeper_handle, watch) = deployment.open(&adapters, handles).await?;
    let tasks = Tasks::default();
    tasks.spawn_to_its_end(|stop| accepting.run(stop));
    let gate = Gate::new(Access::new(&config.access), adapters.tls.clone());
    let gate = Arc::new(gate);
    let approvals = deployment.approvals(config, &adapters, &gate, acceptor, &keeper_handle);
    let Adapters { metrics, audit, .. } = adapters;
    let (node, max_objects) = (deployment.node, deployment.limits.max_objects);
    let connections = config.server.max_connections;
    let admission = Admission::new(connections, &config.limits, metrics.clone());
    let admission = Arc::new(admission);
    let refusals = RefusalSummary {
        admission: Arc::clone(&admission),
        node: Arc::clone(&node),
        audit: Arc::clone(&audit) as _,
        metrics: metrics.clone(),
    };
    let service = ApiState {
        node,
        max_objects,
        approvals: Arc::new(approvals),
        pending_erasures: deployment.pending_erasures,
        store: Arc::clone(&adapters.store) as _,
        entropy: SystemEntropy,
        audit: Arc::clone(&audit) as _,
        gate,
        handshakes: Handshakes::new(metrics.clone())?,
        limits: Limits::new(&config.limits, metrics.clone()),
        admission,
        metrics,
        keeper: keeper_handle,
        hsm_moves: adapters.moves,
        request_timeout: config.server.request_timeout,
        telemetry,
    };
    let opened = Opened {
        service: Arc::new(service),
        tasks,
        refusals: Arc::new(refusals),
        ports: deployment.ports,
        store: adapters.store,
        audit,
        delivery,
    };
    Ok(Wired {
        keeper,
        watch,
        opened,
    })
}

impl Deployment {
    /// Takes the claim. Nothing of the deployment is open yet.
    async fn find(config: &Config, adapters: &Adapters) -> Result<Self, AppError> {
        let ports = adapters.ports(config);
        let is_alone = claim::take(&ports).await?;
        let (store, clock) = (&ports.store, &ports.clock);
        let cache = config.cache.limits();
        let key_state = KeyState::new(Arc::clone(store), Arc::clone(clock), cache);
        let key_state = Arc::new(key_state);
        let refusals = Arc::clone(&key_state.refusals);
        let pending_erasures = Arc::new(PendingErasures::new(Arc::clone(store), refusals));
        let approvals = Arc::clone(&adapters.store);
        let permissions = Arc::new(Permissions::new(&config.approvals, approvals as _));
        let id = store.deployment().await?.ok_or(Halt::NotInitialised)?;
        let node = node(adapters, id, key_state).await?;
        Ok(Self {
            ports,
            limits: keeper_limits(config, &adapters.moves, is_alone),
            pending_erasures,
            permissions,
            node,
        })
    }

    /// Opens it: what leads it, and what looks at its claim from now on.
    async fn open(
        &self,
        adapters: &Adapters,
        handles: Handles,
    ) -> Result<(Keeper, KeeperHandle, ClaimWatch), AppError> {
        let (ports, id) = (&self.ports, self.node.deployment);
        let hsms = (Arc::clone(&adapters.devices), Arc::clone(&adapters.moves));
        let opened = Keeper::open(ports.clone(), handles, self.limits, hsms);
        let (keeper, handle) = opened.await?;
        // Not before: only now does the store tell rows of this deployment from others.
        let published = published_keys(ports.store.as_ref(), ports.hsm.as_ref(), id).await?;
        self.node.verification_keys.send_replace(published.into());
        let watch = ClaimWatch::begin(ports.clone(), id, Arc::clone(&self.node.lease)).await?;
        Ok((keeper, handle, watch))
    }

    /// What accepts erasures, and where they are sent to.
    fn acceptor(&self) -> (Acceptor, AcceptorHandle) {
        Acceptor::new(
            self.node.deployment,
            self.ports.clone(),
            Arc::clone(&self.node.key_state),
            Arc::clone(&self.pending_erasures),
            Arc::clone(&self.permissions),
        )
    }

    fn approvals(
        &self,
        config: &Config,
        adapters: &Adapters,
        gate: &Arc<Gate>,
        acceptor: AcceptorHandle,
        keeper: &KeeperHandle,
    ) -> Approvals {
        Approvals {
            store: Arc::clone(&adapters.store) as _,
            per_client: config.approvals.per_client,
            expire_after: config.approvals.expire_after,
            permissions: Arc::clone(&self.permissions),
            node: Arc::clone(&self.node),
            erasures: Arc::clone(&adapters.store) as _,
            gate: Arc::clone(gate),
            acceptor,
            keeper: keeper.clone(),
            audit: Arc::clone(&adapters.audit) as _,
            metrics: adapters.metrics.clone(),
            entropy: SystemEntropy,
        }
    }
}

fn keeper_limits(config: &Config, moves: &HsmMoves, is_alone: bool) -> KeeperLimits {
    KeeperLimits {
        max_objects: max_objects(config, moves),
        keep_receipts: config.receipts.keep,
        rotate_after_shreds: config.rotation.after_shreds,
        is_alone,
    }
}

async fn node(
    adapters: &Adapters,
    deployment: DeploymentId,
    key_state: Arc<KeyState>,
) -> Result<Arc<NodeState>, StoreError> {
    let (store, clock) = (&adapters.store, &adapters.clock);
    Ok(Arc::new(NodeState {
        deployment,
        key_state,
        clock: Arc::clone(clock),
        mark: Arc::new(ClockMark::new(Arc::clone(clock), Arc::clone(store) as _)),
        lease: Arc::default(),
        key_uses: KeyUses::open(Arc::clone(store) as _).await?,
        condition: Mutex::default(),
        verification_keys: watch::channel(Vec::new().into()).0,
        this: ThisNode {
            name: host_name(),
            started_at: clock.now(),
        },
    }))
}

/// By operation.
fn span_routes() -> HashMap<&'static str, Route> {
    let routes = http::routes().into_iter();
    let route = |it: http::Route| {
        let method = it.method.to_string();
        (
            it.operation,
            Route {
                method,
                path: it.path,
            },
        )
    };
    routes.map(route).collect()
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| "unknown".into(), |name| name.trim().to_owned())
}
