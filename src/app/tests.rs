//! A service without sockets, TLS and child processes: SQLite and audit log in a temporary folder, the HSM in
//! memory. The tests of `src/http` send their requests to it.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use lethe_audit::FileAuditSink;
use lethe_core::batch::Halt;
use lethe_core::hsm_move::Devices;
use lethe_core::initialise::initialise;
use lethe_core::ports::{Clock as _, Hsm};
use lethe_store_sqlite::SqliteStore;
use lethe_testkit::memory_hsm::MemoryHsm;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::adapters::{Adapters, steady_clock};
use super::wiring::{Opened, Wired, wire};
use crate::config::{AccessSection, Config, StoreSection};
use crate::http::{self, ApiState};
use crate::identity::Access;
use crate::identity::tls::{Session, Tls};
use crate::leader::Keeper;
use crate::leader::hsm_moves::HsmMoves;
use crate::node::clock::HandshakeClock;
use crate::node::upkeep::Upkeep;
use crate::observability::metrics::{Exposition, Metrics};
use crate::pki::ensure_development;

/// Clients with a certificate, and the role of each; a stranger has none.
const CLIENTS: [(&str, Option<&str>); 5] = [
    ("message-server", Some("message-server")),
    ("operator", Some("operator")),
    ("second-operator", Some("operator")),
    ("auditor", Some("auditor")),
    ("stranger", None),
];

const CONFIGURATION: &str = r#"
[server]
listen = "127.0.0.1:0"
certificate = "pki/server.crt"
key = "pki/server.key"
client_ca = "pki/ca.crt"

[store]
sqlite = "lethe.db"

[hsm]
module = "none.so"
token = "memory"
pin_file = "none"

[audit]
directory = "audit"

[approvals]
required = false
"#;

/// A new deployment that is served in the process of the test.
pub(crate) struct InProcess {
    pub(crate) service: Arc<ApiState>,
    pub(crate) hsm: Arc<MemoryHsm>,
    exposition: Exposition,
    opened: Opened,
    access: AccessSection,
    keeper: Mutex<Option<KeeperThread>>,
    stop_keeper: CancellationToken,
    folder: TempDir,
}

impl InProcess {
    /// With a configuration that the test may change.
    pub(crate) async fn open(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = configuration(folder.path());
        change(&mut config);
        make_certificates(folder.path());
        let hsm = Arc::<MemoryHsm>::default();
        let (metrics, exposition) = Metrics::new();
        metrics.begin(&http::outcomes());
        let adapters = adapters(&config, Arc::clone(&hsm) as _, metrics).await;
        initialise(&adapters.ports(&config)).await.unwrap();
        let Wired {
            keeper,
            watch,
            opened,
        } = wire(&config, adapters).await.unwrap();
        let stop_keeper = CancellationToken::new();
        let keeper = keep(keeper, stop_keeper.clone());
        tokio::spawn(watch.run());
        let upkeep = Upkeep::new(
            Arc::clone(&opened.service.node),
            Arc::clone(&opened.ports.store),
            opened.service.request_timeout,
        );
        tokio::spawn(upkeep.run(stop_keeper.clone()));
        Self {
            service: Arc::clone(&opened.service),
            hsm,
            exposition,
            opened,
            access: config.access,
            keeper: Mutex::new(Some(keeper)),
            stop_keeper,
            folder,
        }
    }

    /// What is known of a client after its handshake.
    pub(crate) fn session(&self, client: &str) -> Arc<Session> {
        let path = self.folder.path().join(format!("pki/{client}.crt"));
        let chain = CertificateDer::pem_file_iter(path).unwrap();
        let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
        let trust = self.service.gate.rules().trust();
        Arc::new(Session::new(chain, trust, HandshakeClock.now()).unwrap())
    }

    /// Every client may use these keyspaces from now on, as after a reload.
    pub(crate) fn grant(&self, keyspaces: &[&str]) {
        let mut access = self.access.clone();
        for client in &mut access.client {
            client.keyspaces = keyspaces.iter().map(|it| it.parse().unwrap()).collect();
        }
        self.replace(&access);
    }

    /// Nobody has a grant from now on.
    pub(crate) fn revoke(&self) {
        self.replace(&AccessSection { client: Vec::new() });
    }

    fn replace(&self, access: &AccessSection) {
        let gate = &self.service.gate;
        let tls = gate.rules().tls().clone();
        gate.replace(Access::new(access), tls);
    }

    /// Its files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All lines of the audit log.
    pub(crate) fn audit(&self) -> String {
        let files = std::fs::read_dir(self.folder.path().join("audit")).unwrap();
        let files = files.map(|entry| entry.unwrap().path());
        let texts = files.filter(|path| path.extension().is_some_and(|it| it == "jsonl"));
        texts
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect()
    }

    /// What Prometheus reads.
    pub(crate) fn metrics(&self) -> String {
        self.service.admission.show();
        self.service.limits.show(self.service.node.now());
        self.exposition.text()
    }

    /// No record can be written from here on.
    pub(crate) async fn close_audit(&self) {
        self.opened.audit.close().await.unwrap();
    }

    /// The store answers no call from here on.
    pub(crate) async fn close_store(&self) {
        self.opened.store.close().await;
    }

    /// The background work ends, as it does when the service stops.
    pub(crate) async fn end_keeper(&self) {
        self.stop_keeper.cancel();
        let keeper = self.keeper.lock().take().unwrap();
        let ended = tokio::task::spawn_blocking(|| keeper.join());
        ended.await.unwrap().unwrap().unwrap();
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.stop_keeper.cancel();
    }
}

type KeeperThread = JoinHandle<Result<(), Halt>>;

/// On a runtime of its own, which does not end with that of the test.
fn keep(keeper: Keeper, stop: CancellationToken) -> KeeperThread {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    std::thread::spawn(move || runtime.unwrap().block_on(keeper.run(stop)))
}

fn configuration(folder: &Path) -> Config {
    let mut text = CONFIGURATION.to_owned();
    for (name, role) in CLIENTS {
        if let Some(role) = role {
            text += &format!(
                "[[access.client]]\nspiffe_id = \"spiffe://lethe.dev/{name}\"\nrole = \"{role}\"\nkeyspaces = [\"*\"]\n"
            );
        }
    }
    let path = folder.join("lethe.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(&path).unwrap()
}

fn make_certificates(folder: &Path) {
    let id = |name| format!("spiffe://lethe.dev/{name}").parse().unwrap();
    let clients = CLIENTS.map(|(name, _)| (name, id(name)));
    let names = ["localhost".to_owned()];
    ensure_development(&folder.join("pki"), &names, &clients, HandshakeClock.now()).unwrap();
}

async fn adapters(config: &Config, hsm: Arc<dyn Hsm>, metrics: Metrics) -> Adapters {
    let StoreSection::Sqlite(database) = &config.store else {
        panic!("SQLite");
    };
    let store = SqliteStore::create(database).await.unwrap();
    std::fs::create_dir(&config.audit.directory).unwrap();
    let moves = match config.hsm_next.clone() {
        None => HsmMoves::open(&config.hsm, None, &metrics).await.unwrap(),
        Some(next) => {
            let second = Arc::<MemoryHsm>::default();
            HsmMoves::with_second(&config.hsm, next, second, metrics.clone())
        }
    };
    Adapters {
        clock: Arc::new(steady_clock(config, &store).await.unwrap()),
        store: Arc::new(store),
        audit: Arc::new(FileAuditSink::open(config.audit.sink()).unwrap()),
        devices: Arc::new(Devices::single(hsm)),
        moves: Arc::new(moves),
        tls: Tls::load(&config.server, HandshakeClock.now()).unwrap(),
        metrics,
    }
}
