//! The adapters, opened as the configuration names them: together with `stores.rs` and `devices.rs` the only
//! place that opens databases, PKCS#11 and files.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;

use lethe_audit::FileAuditSink;
use lethe_core::batch::Ports;
use lethe_core::clock::SteadyClock;
use lethe_core::hsm_move::Devices;
use lethe_core::initialise::{Initialised, initialise};
use lethe_core::ports::{Clock, ClockStore, Hsm, Store, StoreError};

use super::AppError;
use super::devices::{open_devices, open_hsm};
use super::reload::Reloader;
use super::stores::{self, ServiceStore};
use crate::config::Config;
use crate::identity::tls::Tls;
use crate::leader::hsm_moves::HsmMoves;
use crate::node::clock::{HandshakeClock, SystemClock};
use crate::node::entropy::SystemEntropy;
use crate::observability::metrics::Metrics;

/// What a service stands on.
pub(super) struct Adapters {
    pub(super) store: Arc<dyn ServiceStore>,
    pub(super) audit: Arc<FileAuditSink>,
    /// The HSM that holds the deployment, or both HSMs of a move.
    pub(super) devices: Arc<Devices>,
    /// What the configuration says of HSMs.
    pub(super) moves: Arc<HsmMoves>,
    pub(super) clock: Arc<SteadyClock<SystemClock>>,
    pub(super) tls: Tls,
    pub(super) metrics: Metrics,
}

impl Adapters {
    /// Opens all of them beside the store; `reloader` has read the files of TLS when this ends.
    ///
    /// # Errors
    /// [`AppError`]; nothing was changed but an older schema.
    pub(super) async fn open(
        config: &Config,
        store: Arc<dyn ServiceStore>,
        reloader: &mut Reloader,
        metrics: Metrics,
    ) -> Result<Self, AppError> {
        let audit = Arc::new(FileAuditSink::open(config.audit.sink())?);
        let (devices, moves) = open_devices(config, store.as_ref(), &metrics).await?;
        tracing::info!("the HSM is open");
        let clock = Arc::new(steady_clock(config, store.as_ref()).await?);
        let tls = reloader.first_tls(HandshakeClock.now())?;
        Ok(Self {
            store,
            audit,
            devices,
            moves,
            clock,
            tls,
            metrics,
        })
    }

    /// Those that the use cases of the domain call.
    pub(super) fn ports(&self, config: &Config) -> Ports {
        ports(
            config,
            Arc::clone(&self.devices) as _,
            Arc::clone(&self.store) as _,
            Arc::clone(&self.clock) as _,
        )
    }
}

/// Prepares store and HSM of a configuration; what is there stays.
///
/// # Errors
/// [`AppError`]; can be run again.
pub async fn init(config: &Config, last_pin_try: bool) -> Result<Initialised, AppError> {
    let store = stores::open_or_create(&config.store).await?;
    // Who called when is nobody else's business.
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&config.audit.directory)?;
    let hsm = Arc::new(open_hsm(config, last_pin_try).await?);
    let clock = steady_clock(config, store.as_ref()).await?;
    let ports = ports(config, hsm, Arc::clone(&store) as _, Arc::new(clock));
    let done = initialise(&ports).await;
    store.close().await;
    Ok(done?)
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
