//! Composition root: the only place that names SQLite, PKCS#11 and files.

mod claim;
mod error;
pub mod memory;
pub mod reload;
pub mod takeover;

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use lethe_audit::FileAuditSink;
use lethe_core::batch::{Halt, Ports};
use lethe_core::claim::{Lease, confirm, release};
use lethe_core::clock::SteadyClock;
use lethe_core::hsm_move::{Devices, locate, published_keys};
use lethe_core::identity::DeploymentId;
use lethe_core::initialise::{Initialised, initialise};
use lethe_core::ports::{Clock, Hsm, Store, StoreError};
use lethe_pkcs11::{Pkcs11Config, Pkcs11Hsm};
use lethe_store_sqlite::SqliteStore;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

use crate::admission::{self, Admission, open_files};
use crate::app::reload::{Hangup, Reloader};
use crate::approvals::{self, Approvals};
use crate::config::{Config, LimitsSection};
use crate::erasure::{Acceptor, PendingErasures};
use crate::http::{self, ops};
use crate::identity::tls::Handshakes;
use crate::identity::{Access, Gate};
use crate::leader::hsm_moves::{self, HsmMoves, MoveState};
use crate::leader::{Keeper, KeeperLimits, Watch};
use crate::limits::Limits;
use crate::node::clock::{ClockMark, HandshakeClock, SystemClock};
use crate::node::entropy::SystemEntropy;
use crate::node::key_state::KeyState;
use crate::node::key_uses::KeyUses;
use crate::node::status::{Condition, ThisNode};
use crate::observability::metrics::{Exposition, Metrics};
use crate::observability::telemetry::{Delivery, Route, Telemetry};
use crate::service::Service;

pub use error::AppError;

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
    service: Arc<Service>,
    keeper: Keeper,
    watch: Watch,
    ports: Ports,
    exposition: Exposition,
    audit: Arc<FileAuditSink>,
    store: Arc<SqliteStore>,
    reloader: Reloader,
    delivery: Option<Delivery>,
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
        let mark = ClockMark::new(Arc::clone(&clock), Arc::clone(&outlives));
        let mark = Arc::new(mark);
        let limits = KeeperLimits {
            max_objects: max_objects(config, &moves),
            keep_receipts: config.receipts.keep,
            longest_request: config.server.request_timeout,
            rotate_after_shreds: config.rotation.after_shreds,
            is_alone,
        };
        let approvals = Approvals::open(&config.approvals, Arc::clone(&store) as _, clock.now());
        let approvals = approvals.await?;
        let approvals = Arc::new(approvals);
        let (keeper, handle) = Keeper::open(
            ports.clone(),
            Arc::clone(&key_state),
            Arc::clone(&pending_erasures),
            Arc::clone(&approvals),
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
            Arc::clone(&approvals),
        );
        tokio::spawn(acceptor.run());
        let published = published_keys(outlives.as_ref(), hsm.as_ref(), deployment).await?;
        let (verification_keys, _) = watch::channel(published.into());
        // Both have answered just now.
        metrics.condition(&Condition::default(), limits.max_objects);
        let node = ThisNode {
            name: host_name(),
            started_at: clock.now(),
        };
        let telemetry = Telemetry::start(&config.telemetry, span_routes(), &metrics)?;
        let (telemetry, delivery) = telemetry.unzip();
        let service = Service {
            deployment,
            max_objects: limits.max_objects,
            node,
            key_state,
            lease,
            acceptor: acceptor_handle,
            approvals,
            key_uses: KeyUses::open(Arc::clone(&store) as _).await?,
            pending_erasures,
            store: outlives,
            clock,
            mark,
            entropy: SystemEntropy,
            audit: Arc::clone(&audit) as Arc<dyn lethe_core::ports::AuditSink>,
            gate: Arc::new(gate),
            handshakes: Handshakes::new(metrics.clone())?,
            limits: Limits::new(&config.limits, metrics.clone()),
            admission: Admission::new(
                connections,
                &LimitsSection {
                    handshakes,
                    ..config.limits.clone()
                },
                metrics.clone(),
            ),
            metrics,
            keeper: handle,
            condition: Mutex::new(Condition::default()),
            verification_keys,
            hsm_moves: moves,
            request_timeout: config.server.request_timeout,
            telemetry,
        };
        Ok(Self {
            service: Arc::new(service),
            keeper,
            watch,
            ports: claimed,
            exposition,
            audit,
            store,
            reloader,
            delivery,
        })
    }

    /// The service, for who runs in the same process.
    #[must_use]
    pub fn service(&self) -> Arc<Service> {
        Arc::clone(&self.service)
    }

    /// Serves until SIGTERM or SIGINT, and reads the configuration anew when it changes; `ready` hears the API's address once it answers.
    ///
    /// # Errors
    /// [`AppError::Halted`] when a person has to look; else what kept it from serving.
    pub async fn run(
        self,
        config: &Config,
        ready: impl AsyncFnOnce(SocketAddr) -> Result<(), AppError>,
    ) -> Result<(), AppError> {
        let server = &config.server;
        // Before anybody can see that it is there: who sees it may stop it.
        let mut signals = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        let listener = listen(server.listen).await?;
        let listener = self.service.handshakes.listener(listener)?;
        let ops_listener = listen(server.ops_listen).await?;
        let address = listener.local_addr()?;
        let mut hangup = Hangup::new(self.reloader.start(Arc::clone(&self.service))?)?;
        let (stop, stopped) = watch::channel(false);
        // After the API: shreds under way come to their end.
        let (stop_keeper, keeper_stopped) = watch::channel(false);
        let limits = http::Limits {
            header_timeout: server.header_timeout,
            idle_timeout: server.idle_timeout,
            request_timeout: server.request_timeout,
            grace: server.shutdown_grace,
        };
        let ops = ops::Ops {
            service: Arc::clone(&self.service),
            exposition: Arc::new(self.exposition),
        };
        // To the end: a stop is watched too.
        let ops = ops::serve(
            ops_listener,
            ops,
            server.ops_max_connections,
            limits,
            keeper_stopped.clone(),
        );
        let ops = tokio::spawn(ops);
        let refusals = tokio::spawn(admission::record_refusals(Arc::clone(&self.service)));
        let sweep = approvals::sweep(Arc::clone(&self.service), config.receipts.keep);
        let sweep = tokio::spawn(sweep);
        let moves = Arc::clone(&self.service.hsm_moves);
        let moves = tokio::spawn(async move { moves.watch().await });
        let router = http::Router::new(Arc::clone(&self.service));
        let router = Arc::new(router.map_err(std::io::Error::other)?);
        let service = Arc::clone(&self.service);
        let api = tokio::spawn(http::serve(listener, service, router, limits, stopped));
        let mut keeper = keep(self.keeper, Arc::clone(&self.service), keeper_stopped)?;
        let mut watch = tokio::spawn(self.watch.run());
        let begun = tokio::select! {
            begun = ready(address) => begun,
            ended = &mut keeper => Err(keeper_ended(ended)),
        };
        let ended = match begun {
            Ok(()) => tokio::select! {
                _ = signals.0.recv() => Ok(()),
                _ = signals.1.recv() => Ok(()),
                () = hangup.terminal_gone() => Ok(()),
                ended = &mut keeper => Err(keeper_ended(ended)),
                ended = &mut watch => Err(watch_ended(ended)),
            },
            failed => failed,
        };
        tracing::info!("stopping");
        // The receivers may be gone already.
        let _ = stop.send(true);
        let _ = api.await;
        let _ = stop_keeper.send(true);
        if ended.is_ok() {
            let _ = keeper.await;
        }
        if let Some(delivery) = self.delivery {
            delivery.stop().await;
        }
        ops.abort();
        refusals.abort();
        admission::record_unrecorded(&self.service).await;
        sweep.abort();
        moves.abort();
        self.service.flush_key_uses().await;
        watch.abort();
        // After a halt nothing is touched.
        if ended.is_ok() {
            if let Err(error) = self.service.mark.write().await {
                tracing::warn!(%error, "the time of the stop is not written down");
            }
            give_up_claim(&self.ports, self.service.deployment).await;
        }
        self.store.close().await;
        if let Err(error) = self.audit.close().await {
            tracing::warn!(%error, "the audit log was not closed cleanly");
        }
        ended
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

/// Of the HSM that new objects go to.
fn max_objects(config: &Config, moves: &HsmMoves) -> u64 {
    let next = match moves.progress().state {
        MoveState::Moving | MoveState::Moved => moves.next_max_objects(),
        MoveState::Unconfigured | MoveState::Ready => None,
    };
    next.unwrap_or(config.hsm.max_objects)
}

/// Goes on where the store says that the time stood.
async fn steady_clock(
    config: &Config,
    store: &dyn Store,
) -> Result<SteadyClock<SystemClock>, StoreError> {
    let mark = store.clock_mark().await?;
    Ok(SteadyClock::new(SystemClock, mark, config.clock.trust()))
}

fn keeper_ended(ended: Result<Result<(), Halt>, oneshot::error::RecvError>) -> AppError {
    match ended {
        Ok(Err(halt)) => {
            tracing::error!(%halt, "halting");
            AppError::Halted(halt)
        }
        Ok(Ok(())) => AppError::System(std::io::Error::other("the background work ended")),
        Err(_) => AppError::System(std::io::Error::other("the background work panicked")),
    }
}

fn watch_ended(ended: Result<Halt, tokio::task::JoinError>) -> AppError {
    match ended {
        Ok(halt) => {
            tracing::error!(%halt, "halting");
            AppError::Halted(halt)
        }
        Err(_) => AppError::System(std::io::Error::other("the look at the claim panicked")),
    }
}

/// The next start need not ask then, wherever it is.
async fn give_up_claim(ports: &Ports, deployment: DeploymentId) {
    if let Err(error) = release(ports, deployment).await {
        tracing::warn!(%error, "the claim is not given up: a start elsewhere will wait for an answer");
    }
}

fn ports(
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

/// The keeper's thread of its own: what it computes for a batch must not stand in the way of
/// requests. Its ends are those of a task.
fn keep(
    keeper: Keeper,
    service: Arc<Service>,
    stop: watch::Receiver<bool>,
) -> Result<oneshot::Receiver<Result<(), Halt>>, AppError> {
    let (ended, end) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new()
        .name("lethe-keeper".into())
        .spawn(move || {
            // Nobody may listen any more.
            let _ = ended.send(runtime.block_on(keeper.run(service, stop)));
        })?;
    Ok(end)
}

/// The HSMs of the configuration, and which of them holds the deployment.
async fn open_devices(
    config: &Config,
    store: &dyn Store,
    metrics: &Metrics,
) -> Result<(Arc<Devices>, Arc<HsmMoves>), AppError> {
    let first = hsm_moves::open(&config.hsm, metrics).await?;
    let moves = HsmMoves::open(&config.hsm, config.hsm_next.as_ref(), metrics).await?;
    let located = locate(store, first, moves.opened()).await?;
    if located.at_second {
        let moving = located.devices.pair().is_some();
        moves.note(|progress| {
            progress.state = if moving {
                MoveState::Moving
            } else {
                MoveState::Moved
            };
        });
    }
    Ok((Arc::new(located.devices), Arc::new(moves)))
}

/// Loading a module and logging in may block.
async fn open_hsm(config: &Config, last_pin_try: bool) -> Result<Pkcs11Hsm, AppError> {
    let config = Pkcs11Config {
        last_pin_try,
        ..config.hsm.pkcs11()?
    };
    let opened = tokio::task::spawn_blocking(move || Pkcs11Hsm::open(config)).await;
    Ok(opened.map_err(std::io::Error::other)??)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| AppError::Listen(address, error))
}

fn host_name() -> String {
    first_line("/proc/sys/kernel/hostname").unwrap_or_else(|| "unknown".into())
}

fn first_line(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}
