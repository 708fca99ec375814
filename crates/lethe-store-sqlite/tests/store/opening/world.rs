//! A deployment with a process that runs batches, and what can be seen of it from outside.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lethe_core::batch::{
    BatchError, Current, Epoch, LeaseHolders, NewState, NewVersion, Node, Opened, Ports, Reader,
    Recovered, Work,
};
use lethe_core::claim::{confirm, examine};
use lethe_core::directory::Entry;
use lethe_core::erasure::ShredLeaf;
use lethe_core::erasure::{AcceptedErasure, Erasure, ErasureKind, ErasureNumber, IdempotencyTag};
use lethe_core::grid::Generation;
use lethe_core::identity::DeploymentId;
use lethe_core::initialise::initialise;
use lethe_core::keyspace::KeyVersion;
use lethe_core::page_cache::{CacheLimits, PageCache};
use lethe_core::ports::{ClaimKind, Clock, Entropy, EntropyError, ErasureStore, Hsm};
use lethe_core::receipt::{Commitment, ErasureId};
use lethe_core::secret::Secret32;
use lethe_core::time::Timestamp;
use lethe_core::tree::{Address, CoverRoot};
use lethe_store_sqlite::SqliteStore;
use lethe_testkit::memory_hsm::MemoryHsm;
use lethe_testkit::store_contract::keyspace;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, SqliteConnection};

/// An hour after the epoch, always.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(3_600_000)
    }

    fn since_boot(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// Never the same twice.
#[derive(Default)]
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        for chunk in bytes.chunks_mut(8) {
            let next = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            chunk.copy_from_slice(&next[..chunk.len()]);
        }
        Ok(())
    }
}

struct Nobody;

#[async_trait]
impl LeaseHolders for Nobody {
    async fn advance(&self, _: NewState<'_>) -> Result<(), BatchError> {
        Ok(())
    }
}

/// All that lies in store and HSM.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Keys, claims and signing keys.
    objects: Vec<String>,
    /// Every row of every table.
    rows: Vec<String>,
}

pub(super) struct World {
    folder: tempfile::TempDir,
    pub(super) store: Arc<SqliteStore>,
    pub(super) hsm: Arc<MemoryHsm>,
    entropy: Arc<Counting>,
    pub(super) deployment: DeploymentId,
    pages: PageCache,
}

impl World {
    /// With one keyspace, and one process that has the claim: its ports, and the present state.
    pub(super) async fn new() -> (Self, Ports, Current) {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::create(folder.path().join("lethe.db")).await;
        let mut world = Self {
            folder,
            store: Arc::new(store.unwrap()),
            hsm: Arc::default(),
            entropy: Arc::default(),
            deployment: DeploymentId::from_bytes([0; 16]),
            pages: PageCache::new(CacheLimits::default()),
        };
        let ports = world.ports(Arc::clone(&world.hsm) as _);
        world.deployment = initialise(&ports).await.unwrap().deployment;
        let candidate = examine(&ports, None).await.unwrap();
        candidate.take(&ports).await.unwrap();
        confirm(&ports, world.deployment).await.unwrap();
        let current = world.recover(&ports).await.current;
        let row = keyspace(1, "chat");
        let secret = || Secret32::try_filled(|bytes| world.entropy.fill(bytes)).unwrap();
        let entry = Entry {
            keyspace: row.id,
            version: KeyVersion::FIRST,
            address_key: secret(),
            root: CoverRoot::Whole(secret()),
        };
        let work = Work {
            versions: vec![NewVersion::First(row, entry)],
            ..Work::default()
        };
        let (current, _) = current.run(world.node(&ports), work).await.unwrap();
        (world, ports, current)
    }

    /// With a database that was closed and opened: it does not know the deployment's key yet.
    pub(super) async fn reopened(self) -> Self {
        let store = Arc::into_inner(self.store).expect("the only owner");
        store.close().await;
        drop(store);
        let store = SqliteStore::open(self.folder.path().join("lethe.db")).await;
        Self {
            store: Arc::new(store.unwrap()),
            ..self
        }
    }

    /// Of a process of its own, which has no claim.
    pub(super) fn ports(&self, hsm: Arc<dyn Hsm>) -> Ports {
        Ports {
            hsm,
            store: Arc::clone(&self.store) as _,
            entropy: Arc::clone(&self.entropy) as _,
            clock: Arc::new(Still),
            claim: Arc::default(),
            max_outage: None,
        }
    }

    pub(super) fn node<'a>(&'a self, ports: &'a Ports) -> Node<'a> {
        Node {
            ports,
            pages: &self.pages,
            holders: &Nobody,
        }
    }

    pub(super) async fn recover(&self, ports: &Ports) -> Recovered {
        let epoch = Epoch::next(ports).await.unwrap();
        let opened = Opened::open(Reader::of(ports)).await.unwrap();
        opened.recover(self.node(ports), epoch).await.unwrap()
    }

    /// Accepts shreds of so many conversations, and gives them as work.
    pub(super) async fn shreds(&self, from: u8, count: u8) -> Work {
        let shred = |number: u8| Erasure {
            id: ErasureId::from_bytes([number; 16]),
            keyspace: keyspace(1, "chat").id,
            accepted_at: Timestamp::from_millis(1_000),
            leases_end_at: Timestamp::from_millis(2_000),
            kind: ErasureKind::Shred {
                tag: IdempotencyTag::from_bytes([number; 16]),
                commitment: Commitment::from_bytes([number; 32]),
                leaves: vec![ShredLeaf {
                    version: KeyVersion::FIRST,
                    generation: Generation::FIRST,
                    address: Address::from_bits(u64::from(number) << 40),
                }],
            },
        };
        let erasures: Vec<_> = (from..from + count).map(shred).collect();
        let first = self.store.accept(&erasures).await.unwrap();
        let numbers = (first.number()..).map(ErasureNumber::new);
        let accepted = numbers.zip(erasures);
        Work {
            erasures: accepted
                .map(|(number, erasure)| AcceptedErasure { number, erasure })
                .collect(),
            ..Work::default()
        }
    }

    pub(super) async fn seen(&self) -> Seen {
        Seen {
            objects: self.objects().await,
            rows: self.rows().await,
        }
    }

    pub(super) async fn objects(&self) -> Vec<String> {
        let (hsm, deployment) = (&self.hsm, self.deployment);
        let mut objects = Vec::new();
        let keys = hsm.keys(deployment).await.unwrap();
        objects.extend(keys.iter().map(|key| format!("{} {}", key.label, key.id)));
        for kind in [ClaimKind::Held, ClaimKind::Wanted] {
            let claims = hsm.claim(deployment, kind).await.unwrap();
            objects.extend(claims.iter().map(|text| format!("{kind:?} {text}")));
        }
        let pairs = hsm.verification_keys(deployment).await.unwrap();
        objects.extend(pairs.iter().map(|pair| format!("{pair:?}")));
        objects
    }

    async fn rows(&self) -> Vec<String> {
        let mut database = self.database().await;
        let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
        let tables = texts(&mut database, tables.into()).await;
        let mut rows = Vec::new();
        for table in tables {
            let columns = format!("SELECT name FROM pragma_table_info('{table}')");
            let columns = texts(&mut database, columns).await;
            let columns: Vec<_> = columns.iter().map(|it| format!("quote({it})")).collect();
            let columns = columns.join(" || ',' || ");
            let all = format!("SELECT '{table}: ' || {columns} FROM {table} ORDER BY 1");
            rows.extend(texts(&mut database, all).await);
        }
        database.close().await.unwrap();
        rows
    }

    /// Statements of somebody else.
    pub(super) async fn database(&self) -> SqliteConnection {
        let options = sqlx::sqlite::SqliteConnectOptions::new();
        options.filename(self.path()).connect().await.unwrap()
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("lethe.db")
    }
}

async fn texts(database: &mut SqliteConnection, query: String) -> Vec<String> {
    let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(database);
    let rows = rows.await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}
