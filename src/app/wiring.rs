//! Opens what the configuration names and gives each room what it uses.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use lethe_audit::FileAuditSink;
use lethe_core::batch::{Halt, Ports};
use lethe_core::claim::{Lease, confirm};
use lethe_core::clock::SteadyClock;
use lethe_core::hsm_move::published_keys;
use lethe_core::initialise::{Initialised, initialise};
use lethe_core::ports::{Clock, ClockStore, Hsm, Store, StoreError};
use lethe_store_sqlite::SqliteStore;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::devices::{max_objects, open_devices, open_hsm};
use super::reload::Reloader;
use super::tasks::Tasks;
use super::{AppError, claim};
use crate::admission::{Admission, RefusalSummary, open_files};
use crate::approvals::Approvals;
use crate::config::{Config, LimitsSection};
use crate::erasure::{Acceptor, PendingErasures};
use crate::http;
use crate::http::ApiState;
use crate::identity::tls::Handshakes;
use crate::identity::{Access, Gate};
use crate::leader::{Handles, Keeper, KeeperHandle, KeeperLimits, Watch};
use crate::limits::Limits;
use crate::node::NodeState;
use crate::node::clock::{ClockMark, HandshakeClock, SystemClock};
use crate::node::entropy::SystemEntropy;
use crate::node::key_state::KeyState;
use crate::node::key_uses::KeyUses;
use crate::node::status::{Condition, ThisNode};
use crate::observability::metrics::{Exposition, Metrics};
use crate::observability::telemetry::{Delivery, Route, Telemetry};
use crate::permissions::Permissions;

/// Prepares store and HSM of a configuration; what is there stays.
///
/// # Errors
/// [`AppError`]; can be run again.
pub async fn init(config: &Config, last_pin_try: bool) -> Result<Initialised, AppError> {
    let store = match SqliteStore::create(&config.store.sqlite).await {
        Err(StoreError::Conflict(_)) => SqliteStore::open(&config.store.sqlite).await?,
        created => created?,
    };
    // Who called when is nobody else's business.
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&config.audit.directory)?;
    let hsm = Arc::new(open_hsm(config, last_pin_try).await?);
    let clock = steady_clock(config, &store).await?;
    let ports = ports(config, hsm, Arc::new(store), Arc::new(clock));
    Ok(initialise(&ports).await?)
}

/// A service that is open and not yet serving.
pub struct App {
    pub(super) keeper: Keeper,
    pub(super) handles: Handles,
    pub(super) watch: Watch,
    pub(super) exposition: Exposition,
    pub(super) reloader: Reloader,
    pub(super) opened: Opened,
}

/// What is used until the end, and closed there.
pub(super) struct Opened {
    pub(super) service: Arc<ApiState>,
    /// What works beside requests, until all of it is stopped.
    pub(super) tasks: Tasks,
    pub(super) refusals: Arc<RefusalSummary>,
    pub(super) ports: Ports,
    pub(super) store: Arc<SqliteStore>,
    pub(super) audit: Arc<FileAuditSink>,
    pub(super) delivery: Option<Delivery>,
}

impl App {
    /// Opens store, HSM, audit log and the deployment in them, as the configuration read from `path`
    /// names them.
    ///
    /// # Errors
    /// [`AppError`]; nothing was destroyed.
    pub async fn open(config: &Config, path: &Path) -> Result<Self, AppError> {
        let (connections, handshakes) = open_files::fit(&config.server, &config.limits)?;
        let mut reloader = Reloader::new(path, config);
        let (metrics, exposition) = Metrics::new();
        metrics.begin(&http::outcomes());
        let store = Arc::new(SqliteStore::open(&config.store.sqlite).await?);
        let audit = Arc::new(FileAuditSink::open(config.audit.sink())?);
        let (devices, moves) = open_devices(config, store.as_ref(), &metrics).await?;
        let hsm: Arc<dyn Hsm> = Arc::clone(&devices) as Arc<dyn Hsm>;
        tracing::info!("the HSM is open");
        let clock = steady_clock(config, store.as_ref()).await?;
        let tls = reloader.first_tls(HandshakeClock.now())?;
        let gate = Gate::new(Access::new(&config.access), tls);
        let clock = Arc::new(clock);
        let outlives: Arc<dyn Store> = Arc::clone(&store) as Arc<dyn Store>;
        let ports = ports(
            config,
            Arc::clone(&hsm),
            Arc::clone(&outlives),
            Arc::clone(&clock) as Arc<dyn Clock>,
        );
        let is_alone = claim::take(&ports).await?;
        let key_state = KeyState::new(
            Arc::clone(&outlives),
            Arc::clone(&clock) as Arc<dyn Clock>,
            config.cache.limits(),
        );
        let key_state = Arc::new(key_state);
        let pending_erasures =
            PendingErasures::new(Arc::clone(&outlives), Arc::clone(&key_state.refusals));
        let pending_erasures = Arc::new(pending_erasures);
        let mark = ClockMark::new(
            Arc::clone(&clock),
            Arc::clone(&store) as Arc<dyn ClockStore>,
        );
        let mark = Arc::new(mark);
        let limits = KeeperLimits {
            max_objects: max_objects(config, &moves),
            keep_receipts: config.receipts.keep,
            longest_request: config.server.request_timeout,
            rotate_after_shreds: config.rotation.after_shreds,
            is_alone,
        };
        let started_at = clock.now();
        let permissions = Permissions::open(&config.approvals, Arc::clone(&store) as _, started_at);
        let permissions = Arc::new(permissions.await?);
        let (keeper, handle) = Keeper::open(
            ports.clone(),
            Arc::clone(&key_state),
            Arc::clone(&pending_erasures),
            Arc::clone(&permissions),
            limits,
            (devices, Arc::clone(&moves)),
        )
        .await?;
        let deployment = outlives.deployment().await?.ok_or(Halt::NotInitialised)?;
        if !is_alone {
            confirm(&ports, deployment).await?;
        }
        let lease = Arc::<Lease>::default();
        let watch = Watch::begin(ports.clone(), deployment, Arc::clone(&lease)).await?;
        let claimed = ports.clone();
        let (acceptor, acceptor_handle) = Acceptor::new(
            deployment,
            ports,
            Arc::clone(&key_state),
            Arc::clone(&pending_erasures),
            Arc::clone(&permissions),
        );
        let tasks = Tasks::default();
        tasks.spawn_to_its_end(|stop| acceptor.run(stop));
        let published = published_keys(outlives.as_ref(), hsm.as_ref(), deployment).await?;
        let (verification_keys, _) = watch::channel(published.into());
        // Both have answered just now.
        metrics.condition(&Condition::default(), limits.max_objects);
        let node = Arc::new(NodeState {
            deployment,
            key_state,
            clock,
            mark,
            lease,
            key_uses: KeyUses::open(Arc::clone(&store) as _).await?,
            condition: Mutex::default(),
            verification_keys,
            this: ThisNode {
                name: host_name(),
                started_at,
            },
        });
        let telemetry = Telemetry::start(&config.telemetry, span_routes(), &metrics)?;
        let (telemetry, delivery) = telemetry.unzip();
        let telemetry = telemetry.map(Arc::new);
        let admission = LimitsSection {
            handshakes,
            ..config.limits.clone()
        };
        let admission = Admission::new(connections, &admission, metrics.clone());
        let admission = Arc::new(admission);
        let refusals = RefusalSummary {
            admission: Arc::clone(&admission),
            node: Arc::clone(&node),
            audit: Arc::clone(&audit) as _,
            metrics: metrics.clone(),
        };
        let handles = Handles {
            node: Arc::clone(&node),
            acceptor: acceptor_handle.clone(),
            metrics: metrics.clone(),
            telemetry: telemetry.clone(),
            max_objects: limits.max_objects,
        };
        let gate = Arc::new(gate);
        let approvals = Approvals {
            store: Arc::clone(&store) as _,
            per_client: config.approvals.per_client,
            expire_after: config.approvals.expire_after,
            permissions,
            node: Arc::clone(&node),
            erasures: Arc::clone(&outlives),
            gate: Arc::clone(&gate),
            acceptor: acceptor_handle,
            keeper: handle.clone(),
            audit: Arc::clone(&audit) as _,
            metrics: metrics.clone(),
            entropy: SystemEntropy,
        };
        let service = ApiState {
            node,
            max_objects: limits.max_objects,
            approvals: Arc::new(approvals),
            pending_erasures,
            store: outlives,
            entropy: SystemEntropy,
            audit: Arc::clone(&audit) as Arc<dyn lethe_core::ports::AuditSink>,
            gate,
            handshakes: Handshakes::new(metrics.clone())?,
            limits: Limits::new(&config.limits, metrics.clone()),
            admission,
            metrics,
            keeper: handle,
            hsm_moves: moves,
            request_timeout: config.server.request_timeout,
            telemetry,
        };
        let opened = Opened {
            service: Arc::new(service),
            tasks,
            refusals: Arc::new(refusals),
            ports: claimed,
            store,
            audit,
            delivery,
        };
        Ok(Self {
            keeper,
            handles,
            watch,
            exposition,
            reloader,
            opened,
        })
    }

    /// What the node knows, for who runs in the same process.
    #[must_use]
    pub fn node(&self) -> Arc<NodeState> {
        Arc::clone(&self.opened.service.node)
    }

    /// Where changes are asked for, for who runs in the same process.
    #[must_use]
    pub fn keeper(&self) -> KeeperHandle {
        self.opened.service.keeper.clone()
    }
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

/// Goes on where the store says that the time stood.
pub(super) async fn steady_clock(
    config: &Config,
    store: &dyn ClockStore,
) -> Result<SteadyClock<SystemClock>, StoreError> {
    let mark = store.clock_mark().await?;
    Ok(SteadyClock::new(SystemClock, mark, config.clock.trust()))
}

pub(super) fn ports(
    config: &Config,
    hsm: Arc<dyn Hsm>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
) -> Ports {
    Ports {
        hsm,
        store,
        entropy: Arc::new(SystemEntropy),
        clock,
        claim: Arc::default(),
        max_outage: config.hsm.max_outage,
    }
}

fn host_name() -> String {
    first_line("/proc/sys/kernel/hostname").unwrap_or_else(|| "unknown".into())
}

fn first_line(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}
