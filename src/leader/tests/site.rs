//! A node and the keeper on it, over SQLite and an HSM in memory.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lethe_core::batch::Ports;
use lethe_core::claim::{confirm, examine};
use lethe_core::clock::{Confirmation, SteadyClock};
use lethe_core::hsm_move::Devices;
use lethe_core::initialise::initialise;
use lethe_core::page_cache::CacheLimits;
use lethe_core::ports::{Clock, ClockStore, Hsm, HsmError, KeyLabel};
use lethe_core::time::Expiry;
use lethe_store_sqlite::SqliteStore;
use lethe_testkit::memory_hsm::MemoryHsm;
use lethe_testkit::watched_hsm::{WatchedHsm, Watcher};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::{ApprovalsSection, ClockSection, HsmSection};
use crate::erasure::{Acceptor, PendingErasures};
use crate::leader::hsm_moves::HsmMoves;
use crate::leader::{Handles, Keeper, KeeperLimits};
use crate::node::NodeState;
use crate::node::clock::{ClockMark, SystemClock};
use crate::node::entropy::SystemEntropy;
use crate::node::key_state::KeyState;
use crate::node::key_uses::KeyUses;
use crate::node::status::ThisNode;
use crate::node::upkeep::Upkeep;
use crate::observability::metrics::Metrics;
use crate::permissions::Permissions;

type Listener = Box<dyn FnMut(&'static str) -> Result<(), HsmError> + Send>;

/// Hears of each call of the HSM; its error takes the place of the call.
#[derive(Default)]
pub(super) struct Ear(Mutex<Option<Listener>>);

#[async_trait]
impl Watcher for Ear {
    async fn before(&self, call: &'static str) -> Result<(), HsmError> {
        match self.0.lock().as_mut() {
            Some(listener) => listener(call),
            None => Ok(()),
        }
    }
}

pub(super) struct Site {
    pub(super) folder: tempfile::TempDir,
    pub(super) hsm: Arc<WatchedHsm<Ear>>,
    pub(super) store: Arc<SqliteStore>,
    pub(super) node: Arc<NodeState>,
    pub(super) keeper: Keeper,
}

impl Site {
    pub(super) async fn new() -> Self {
        Self::with_marks(|store| store).await
    }

    /// With another store for the clock's marks from now on.
    pub(super) async fn with_marks(
        marks: impl FnOnce(Arc<dyn ClockStore>) -> Arc<dyn ClockStore>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::create(folder.path().join("lethe.db")).await;
        let store = Arc::new(store.unwrap());
        let memory = Arc::<MemoryHsm>::default();
        let hsm = Arc::new(WatchedHsm::new(memory, Ear::default()));
        let devices = Arc::new(Devices::single(Arc::clone(&hsm) as _));
        let mark = store.clock_mark().await.unwrap();
        let trust = ClockSection::default().trust();
        let clock = Arc::new(SteadyClock::new(SystemClock, mark, trust));
        let ports = Ports {
            hsm: Arc::clone(&devices) as _,
            store: Arc::clone(&store) as _,
            entropy: Arc::new(SystemEntropy),
            clock: Arc::clone(&clock) as _,
            claim: Arc::default(),
            max_outage: None,
        };
        let deployment = initialise(&ports).await.unwrap().deployment;
        let candidate = examine(&ports, None).await.unwrap();
        candidate.take(&ports).await.unwrap();
        confirm(&ports, deployment).await.unwrap();
        let (store_port, clock_port) = (Arc::clone(&ports.store), Arc::clone(&ports.clock));
        let key_state = KeyState::new(store_port, clock_port, CacheLimits::default());
        let node = Arc::new(NodeState {
            deployment,
            key_state: Arc::new(key_state),
            clock: Arc::clone(&clock),
            mark: Arc::new(ClockMark::new(clock, marks(Arc::clone(&store) as _))),
            lease: Arc::default(),
            key_uses: KeyUses::open(Arc::clone(&store) as _).await.unwrap(),
            condition: Mutex::default(),
            verification_keys: watch::channel(Vec::new().into()).0,
            this: ThisNode {
                name: "node".into(),
                started_at: SystemClock.now(),
            },
        });
        let keeper = keeper(ports, Arc::clone(&node), &store, devices).await;
        Self {
            folder,
            hsm,
            store,
            node,
            keeper,
        }
    }

    /// Calls this before each call of the HSM from now on.
    pub(super) fn listen(
        &self,
        listener: impl FnMut(&'static str) -> Result<(), HsmError> + Send + 'static,
    ) {
        *self.hsm.watcher.0.lock() = Some(Box::new(listener));
    }

    /// Makes a bucket that has expired, and that nobody has looked at since.
    pub(super) async fn expired_bucket(&mut self) -> Expiry {
        let expiry = Expiry::from_seconds(self.node.now().as_millis() / 1_000 - 1);
        self.keeper.make(&BTreeSet::from([expiry])).await.unwrap();
        assert!(self.in_memory(expiry));
        expiry
    }

    pub(super) fn in_memory(&self, expiry: Expiry) -> bool {
        self.node.key_state.keyring().buckets.contains_key(&expiry)
    }

    pub(super) async fn in_hsm(&self, expiry: Expiry) -> bool {
        let keys = self.hsm.keys(self.node.deployment).await.unwrap();
        let labels = keys.iter().map(|key| key.label);
        let mut buckets = labels.filter_map(|label| match label {
            KeyLabel::Bucket { expiry, .. } => Some(expiry),
            KeyLabel::Root { .. } => None,
        });
        buckets.any(|it| it == expiry)
    }

    /// The wall clock is ten days ahead from now on. Nobody has seen it yet.
    pub(super) fn jump(&self) {
        self.node.clock.adopt(Confirmation {
            time: self.node.now(),
            lag: Duration::from_secs(10 * 86_400),
        });
        assert_eq!(self.node.clock.doubt(), None);
    }

    /// One round of what the node does by itself.
    pub(super) async fn round(&self) -> Option<lethe_core::batch::Halt> {
        let stopped = CancellationToken::new();
        stopped.cancel();
        self.upkeep().run(stopped).await
    }

    pub(super) fn upkeep(&self) -> Upkeep {
        let (node, store) = (Arc::clone(&self.node), Arc::clone(&self.store));
        Upkeep::new(node, store, Duration::from_secs(1))
    }
}

async fn keeper(
    ports: Ports,
    node: Arc<NodeState>,
    store: &Arc<SqliteStore>,
    devices: Arc<Devices>,
) -> Keeper {
    let metrics = Metrics::new().0;
    let key_state = Arc::clone(&node.key_state);
    let refusals = Arc::clone(&key_state.refusals);
    let pending_erasures = Arc::new(PendingErasures::new(Arc::clone(&ports.store), refusals));
    let section = ApprovalsSection::default();
    let permissions = Arc::new(Permissions::new(&section, Arc::clone(store) as _));
    let (_, acceptor) = Acceptor::new(
        node.deployment,
        ports.clone(),
        key_state,
        Arc::clone(&pending_erasures),
        Arc::clone(&permissions),
    );
    let section = "module = \"m\"\ntoken = \"t\"\npin_file = \"p\"";
    let section: HsmSection = toml::from_str(section).unwrap();
    let moves = HsmMoves::open(&section, None, &metrics).await.unwrap();
    let handles = Handles {
        node,
        pending_erasures,
        permissions,
        acceptor,
        metrics,
        telemetry: None,
    };
    let limits = KeeperLimits {
        max_objects: 1_000,
        keep_receipts: Duration::from_secs(86_400),
        rotate_after_shreds: 1_000,
        is_alone: true,
    };
    let opened = Keeper::open(ports, handles, limits, (devices, Arc::new(moves)));
    opened.await.unwrap().0
}
