//! The life of a service: it opens, listens, works until a signal or a halt, and stops in order.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lethe_core::batch::{BatchError, Halt, Ports, check_ours};
use lethe_core::claim::release;
use lethe_core::identity::DeploymentId;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use super::AppError;
use super::adapters::Adapters;
use super::ops_listener::OpsListener;
use super::reload::{Hangup, Reloader};
use super::stores::{self, ServiceStore};
use super::wiring::{Opened, Wired, wire};
use crate::admission::open_files;
use crate::approvals;
use crate::config::{Config, ServerSection, StoreSection};
use crate::http::ApiState;
use crate::http::{self, ops};
use crate::leader::{Keeper, KeeperHandle};
use crate::node::NodeState;
use crate::node::upkeep::{Upkeep, check_hsm, write_marks};
use crate::observability::metrics::Metrics;

/// For requests under way when another node has taken over: what they wait for does not come.
const SUPERSEDED_GRACE: Duration = Duration::from_secs(1);
/// Between two rounds that drop counts which are over.
const TIDY: Duration = Duration::from_millis(500);

/// A service that is open and not yet serving.
pub struct App {
    wired: Wired,
    ops: OpsListener,
    reloader: Reloader,
}

/// The end of the keeper's thread.
type KeeperEnd = oneshot::Receiver<Result<(), Halt>>;

/// What ends a service.
struct Ends {
    terminate: Signal,
    interrupt: Signal,
    hangup: Hangup,
    keeper: KeeperEnd,
    watch: JoinHandle<Option<Halt>>,
    upkeep: JoinHandle<Option<Halt>>,
    api: JoinHandle<()>,
    ops: JoinHandle<()>,
    /// A panic of any other background work.
    panicked: CancellationToken,
    store: Arc<dyn ServiceStore>,
}

impl Ends {
    /// The first of them; fine for a signal.
    async fn first(&mut self) -> Result<(), AppError> {
        tokio::select! {
            _ = self.terminate.recv() => Ok(()),
            _ = self.interrupt.recv() => Ok(()),
            () = self.hangup.terminal_gone() => Ok(()),
            ended = &mut self.keeper => Err(keeper_ended(ended)),
            ended = &mut self.watch => Err(node_ended(ended)),
            ended = &mut self.upkeep => Err(node_ended(ended)),
            _ = &mut self.api => Err(ended_alone("the API's listener ended")),
            _ = &mut self.ops => Err(ended_alone("the ops listener ended")),
            () = self.panicked.cancelled() => Err(ended_alone("background work panicked")),
            why = self.store.ended() => Err(AppError::Superseded(why.into())),
        }
    }
}

impl App {
    /// Opens store, HSM, audit log and the deployment in them, as the configuration read from `path`
    /// names them.
    ///
    /// # Errors
    /// [`AppError`]; nothing was destroyed.
    pub async fn open(config: &Config, path: &Path) -> Result<Self, AppError> {
        let mut reloader = Reloader::new(path, config);
        let config = &fitted(config)?;
        let (metrics, exposition) = Metrics::new();
        metrics.begin(&http::outcomes());
        // What is wrong with the store is said before anything listens.
        let store = stores::open_if_free(&config.store).await?;
        let starting = ops::Starting::new("the service starts".into());
        let ops = OpsListener::begin(&config.server, &starting, &metrics, exposition).await?;
        let store = match store {
            Some(store) => store,
            None => stores::wait_as_spare(&config.store, &starting).await?,
        };
        let adapters = Adapters::open(config, store, &mut reloader, metrics).await?;
        Ok(Self {
            wired: wire(config, adapters)
                .await
                .map_err(|error| back_to_waiting(&config.store, error))?,
            ops,
            reloader,
        })
    }

    /// What the node knows, for who runs in the same process.
    #[must_use]
    pub fn node(&self) -> Arc<NodeState> {
        Arc::clone(&self.wired.opened.service.node)
    }

    /// Where changes are asked for, for who runs in the same process.
    #[must_use]
    pub fn keeper(&self) -> KeeperHandle {
        self.wired.opened.service.keeper.clone()
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
        // Before anybody can see that it is there: who sees it may stop it.
        let (terminate, interrupt) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        let Wired {
            keeper,
            watch: claim,
            opened,
        } = self.wired;
        let service = &opened.service;
        let listener = listen(config.server.listen).await?;
        let listener = service.handshakes.listener(listener)?;
        let address = listener.local_addr()?;
        let (gate, node) = (Arc::clone(&service.gate), Arc::clone(&service.node));
        let (metrics, alarm) = (service.metrics.clone(), opened.tasks.alarm());
        let reload = self.reloader.start(gate, node, metrics, alarm)?;
        let hangup = Hangup::new(reload)?;
        let timeouts = timeouts(&config.server);
        // Every poll of a connection looks at it: its waiters are spread over several locks.
        let (stop_api, api_stopped) = watch::channel(false);
        self.ops.routes.open(ops::Ops {
            service: Arc::clone(service),
            exposition: self.ops.exposition,
        });
        opened.begin(config);
        let api = http::serve(listener, Arc::clone(service), timeouts, api_stopped);
        let stop_keeper = CancellationToken::new();
        let upkeep = Upkeep::new(
            Arc::clone(&service.node),
            Arc::clone(&opened.ports.store),
            service.request_timeout,
        );
        let mut ends = Ends {
            terminate,
            interrupt,
            hangup,
            keeper: keep(keeper, stop_keeper.clone())?,
            watch: opened.tasks.spawn(claim.run()),
            upkeep: opened.tasks.spawn_to_its_end(|stop| upkeep.run(stop)),
            api: tokio::spawn(api),
            ops: self.ops.serving,
            panicked: opened.tasks.panicked(),
            store: Arc::clone(&opened.store),
        };
        let begun = tokio::select! {
            begun = ready(address) => begun,
            ended = &mut ends.keeper => Err(keeper_ended(ended)),
        };
        let ended = match begun {
            Ok(()) => ends.first().await,
            failed => failed,
        };
        let ended = match ended {
            Err(AppError::Halted(halt)) => Err(opened.after(halt).await),
            ended => ended,
        };
        tracing::info!("stopping");
        // The receivers may be gone already.
        let _ = stop_api.send(true);
        let limit = match &ended {
            Err(AppError::Superseded(_)) => SUPERSEDED_GRACE,
            // It has limits of its own.
            _ => Duration::MAX,
        };
        if !ends.api.is_finished() {
            let _ = tokio::time::timeout(limit, &mut ends.api).await;
        }
        let _ = self.ops.stop.send(true);
        // After the API: shreds under way come to their end.
        stop_keeper.cancel();
        if ended.is_ok() {
            let _ = ends.keeper.await;
        }
        match ended {
            Err(AppError::Superseded(why)) => {
                opened.abandon().await;
                tokio::select! {
                    biased;
                    // Nobody else hears them.
                    _ = ends.terminate.recv() => Ok(()),
                    _ = ends.interrupt.recv() => Ok(()),
                    () = std::future::ready(()) => Err(AppError::Superseded(why)),
                }
            }
            ended => {
                opened.close(ended.is_ok(), timeouts.grace).await;
                ended
            }
        }
    }
}

impl Opened {
    /// Begins what works beside requests.
    fn begin(&self, config: &Config) {
        let (tasks, service) = (&self.tasks, &self.service);
        let refusals = Arc::clone(&self.refusals);
        tasks.spawn_to_its_end(|stop| async move { refusals.run(stop).await });
        tasks.spawn(approvals::sweep(
            Arc::clone(&service.approvals),
            config.receipts.keep,
        ));
        tasks.spawn(check_hsm(
            Arc::clone(&service.node),
            Arc::clone(&self.ports.hsm),
        ));
        tasks.spawn(write_marks(Arc::clone(&service.node)));
        let moves = Arc::clone(&service.hsm_moves);
        tasks.spawn(async move { moves.watch().await });
        tasks.spawn(tidy(Arc::clone(service)));
    }

    /// A node that another one has replaced may first find that its root is gone.
    async fn after(&self, halt: Halt) -> AppError {
        let deployment = self.service.node.deployment;
        let error = match check_ours(&self.ports, deployment).await {
            Err(BatchError::Halt(claim @ Halt::ForeignClaim { .. })) => AppError::after(claim),
            _ => AppError::after(halt.clone()),
        };
        if !matches!(error, AppError::Superseded(_)) {
            tracing::error!(%halt, "halting");
            return AppError::Halted(halt);
        }
        error
    }

    /// Ends as [`Self::close`], and waits for nothing that needs the store: another node has it.
    async fn abandon(self) {
        self.tasks.stop(SUPERSEDED_GRACE).await;
        self.refusals.record().await;
        let _ = tokio::time::timeout(SUPERSEDED_GRACE, self.store.close()).await;
        if let Err(error) = self.audit.close().await {
            tracing::warn!(%error, "the audit log was not closed cleanly");
        }
    }

    /// Ends what works beside requests, writes down what is only in memory, and closes the store and
    /// the audit log, which comes last. After a halt nothing more is said of the deployment.
    async fn close(self, well: bool, grace: Duration) {
        if let Some(delivery) = self.delivery {
            delivery.stop().await;
        }
        self.tasks.stop(grace).await;
        self.refusals.record().await;
        let node = &self.service.node;
        node.flush_key_uses().await;
        if well {
            if let Err(error) = node.mark.write().await {
                tracing::warn!(%error, "the time of the stop is not written down");
            }
            give_up_claim(&self.ports, node.deployment).await;
        }
        self.store.close().await;
        if let Err(error) = self.audit.close().await {
            tracing::warn!(%error, "the audit log was not closed cleanly");
        }
    }
}

/// A node that had the lock on the database and found that another one still serves goes back to waiting.
fn back_to_waiting(store: &StoreSection, error: AppError) -> AppError {
    match (store, error) {
        (StoreSection::Postgres(_), AppError::Halted(Halt::Served)) => {
            AppError::Superseded("another node answered in the HSM".into())
        }
        (_, error) => error,
    }
}

/// With as many connections and handshakes as the process may open files for.
fn fitted(config: &Config) -> Result<Config, AppError> {
    let mut config = config.clone();
    let fits = open_files::fit(&config.server, &config.limits)?;
    (config.server.max_connections, config.limits.handshakes) = fits;
    Ok(config)
}

pub(super) fn timeouts(server: &ServerSection) -> http::Timeouts {
    http::Timeouts {
        header_timeout: server.header_timeout,
        idle_timeout: server.idle_timeout,
        request_timeout: server.request_timeout,
        grace: server.shutdown_grace,
    }
}

/// Drops the counts of clients and addresses that are over.
async fn tidy(service: Arc<ApiState>) {
    loop {
        tokio::time::sleep(TIDY).await;
        service.limits.tidy(service.node.now());
        service.admission.tidy();
    }
}

fn keeper_ended(ended: Result<Result<(), Halt>, oneshot::error::RecvError>) -> AppError {
    match ended {
        Ok(Err(halt)) => AppError::Halted(halt),
        Ok(Ok(())) => ended_alone("the background work ended"),
        Err(_) => ended_alone("the background work panicked"),
    }
}

fn node_ended(ended: Result<Option<Halt>, JoinError>) -> AppError {
    match ended {
        Ok(Some(halt)) => AppError::Halted(halt),
        Ok(None) | Err(_) => ended_alone("the node's background work panicked"),
    }
}

/// Nobody has asked for it.
fn ended_alone(what: &'static str) -> AppError {
    AppError::System(std::io::Error::other(what))
}

/// The next start need not ask then, wherever it is.
async fn give_up_claim(ports: &Ports, deployment: DeploymentId) {
    if let Err(error) = release(ports, deployment).await {
        tracing::warn!(%error, "the claim is not given up: a start elsewhere will wait for an answer");
    }
}

/// The keeper's thread of its own: what it computes for a batch must not stand in the way of
/// requests. Its ends are those of a task.
fn keep(keeper: Keeper, stop: CancellationToken) -> Result<KeeperEnd, AppError> {
    let (ended, end) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new()
        .name("lethe-keeper".into())
        .spawn(move || {
            // Nobody may listen any more.
            let _ = ended.send(runtime.block_on(keeper.run(stop)));
        })?;
    Ok(end)
}

pub(super) async fn listen(address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| AppError::Listen(address, error))
}
