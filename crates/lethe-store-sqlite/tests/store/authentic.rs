//! Whatever somebody else writes into a row that is authenticated, the store says so and hands out
//! nothing of it; of every column of every such table.

use std::path::{Path, PathBuf};

use lethe_core::clock::Mark;
use lethe_core::deployment_key::DeploymentKey;
use lethe_core::erasure::{Erasure, ErasureKind, ErasureNumber, IdempotencyTag, ShredLeaf};
use lethe_core::identity::{DeploymentId, HsmKeyId, KeyspaceId};
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::{
    BatchCommit, BatchStore, BucketStore, ClockStore, DeploymentStore, ErasureStore, HsmMoveStore,
    SigningPurpose, StoreError, VerificationKey,
};
use lethe_core::receipt::{Commitment, ErasureId};
use lethe_core::secret::Secret32;
use lethe_core::succession::{PublishedKey, Succession};
use lethe_core::time::Timestamp;
use lethe_core::tree::Address;
use lethe_store_sqlite::SqliteStore;
use lethe_testkit::store_contract::{batch, bucket};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};

/// Every table with a MAC: none is forgotten here.
const TABLES: [&str; 5] = ["deployment", "request", "bucket", "signing_key", "hsm_move"];

fn key(byte: u8) -> DeploymentKey {
    DeploymentKey::new(&Secret32::filled(|bytes| bytes.fill(byte)))
}

fn mark(time: u64) -> Mark {
    Mark {
        high_water: Some(Timestamp::from_millis(time)),
        ..Mark::default()
    }
}

fn begin() -> BatchCommit {
    BatchCommit {
        begins: Some(key(1)),
        mark: mark(70),
        ..batch(1, vec![])
    }
}

fn erasures() -> [Erasure; 3] {
    let leaf = ShredLeaf {
        version: KeyVersion::FIRST,
        generation: lethe_core::grid::Generation::FIRST,
        address: Address::from_bits(7),
    };
    let shred = ErasureKind::Shred {
        tag: IdempotencyTag::from_bytes([1; 16]),
        commitment: Commitment::from_bytes([2; 32]),
        leaves: vec![leaf],
    };
    let kinds = [
        shred,
        ErasureKind::EraseKeyspace("chat".parse().unwrap()),
        ErasureKind::DropVersion(KeyVersion::FIRST),
    ];
    let mut number = 0;
    kinds.map(|kind| {
        number += 1;
        Erasure {
            id: ErasureId::from_bytes([number; 16]),
            keyspace: KeyspaceId::from_bytes([1; 16]),
            accepted_at: Timestamp::from_millis(50),
            leases_end_at: Timestamp::from_millis(60),
            kind,
        }
    })
}

fn published() -> [PublishedKey; 2] {
    let key = |byte| VerificationKey {
        id: HsmKeyId::from_bytes([byte; 16]),
        purpose: SigningPurpose::Receipt,
        public_key: [byte; 32],
    };
    let succession = Succession {
        predecessor: HsmKeyId::from_bytes([1; 16]),
        endorsement: [3; 64],
    };
    [
        key(1).into(),
        PublishedKey {
            key: key(2),
            succession: Some(succession),
        },
    ]
}

struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    /// Rows that were there before the deployment had a key, and later ones.
    async fn new(early: bool) -> Self {
        let site = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let store = SqliteStore::create(site.path()).await.unwrap();
        let id = DeploymentId::from_bytes([9; 16]);
        store.set_deployment(id).await.unwrap();
        if !early {
            store.commit_batch(&begin()).await.unwrap();
        }
        store.accept(&erasures()).await.unwrap();
        store
            .create_buckets(&[bucket(60), bucket(90)])
            .await
            .unwrap();
        store.begin_hsm_move(&published()).await.unwrap();
        store.hsm_is_emptied().await.unwrap();
        store.raise_clock_mark(&mark(80)).await.unwrap();
        if early {
            store.commit_batch(&begin()).await.unwrap();
        }
        store.close().await;
        site
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("lethe.db")
    }

    /// As the service does: what it reads first, then with the key.
    async fn read(&self, with: u8) -> Vec<StoreError> {
        let store = SqliteStore::open(self.path()).await.unwrap();
        let mut errors = Vec::new();
        errors.extend(store.authenticate(&key(with)).await.err());
        errors.extend(store.clock_mark().await.err());
        let (first, last) = (ErasureNumber::new(1), ErasureNumber::new(9));
        errors.extend(store.erasures(first, last).await.err());
        errors.extend(store.open_erasures(ErasureNumber::new(0)).await.err());
        errors.extend(store.buckets().await.err());
        errors.extend(store.signing_keys().await.err());
        errors.extend(store.hsm_move().await.err());
        assert_eq!(store.altered().is_some(), !errors.is_empty());
        store.close().await;
        errors
    }
}

async fn connect(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path);
    options.connect().await.unwrap()
}

async fn names(database: &mut SqliteConnection, query: String) -> Vec<(String, String)> {
    let rows = sqlx::query_as(AssertSqlSafe(query)).fetch_all(database);
    rows.await.unwrap()
}

/// Statements that change one column of all its rows.
async fn changes(path: &Path) -> Vec<(&'static str, String)> {
    let mut database = connect(path).await;
    let mut changes = Vec::new();
    for table in TABLES {
        let query = format!("SELECT name, type FROM pragma_table_info('{table}')");
        for (column, kind) in names(&mut database, query).await {
            let other = match kind.as_str() {
                "INTEGER" => format!("{column} + 1"),
                "BLOB" => format!("randomblob(length({column}))"),
                _ => format!("{column} || 'x'"),
            };
            let change =
                format!("UPDATE {table} SET {column} = {other} WHERE {column} IS NOT NULL");
            changes.push((table, change));
        }
        changes.push((table, format!("UPDATE {table} SET mac = NULL")));
    }
    database.close().await.unwrap();
    changes
}

#[tokio::test]
async fn every_table_with_a_mac_is_looked_at_here() {
    let site = Site::new(false).await;
    let mut database = connect(&site.path()).await;
    let query = "SELECT m.name, '' FROM sqlite_schema m JOIN pragma_table_info(m.name) c
                 WHERE c.name = 'mac' AND m.type = 'table'";
    let found = names(&mut database, query.into()).await;
    for (table, _) in found {
        assert!(TABLES.contains(&table.as_str()), "{table}");
    }
}

#[tokio::test]
async fn every_column_counts() {
    for early in [false, true] {
        let site = Site::new(early).await;
        assert_eq!(site.read(1).await, [], "{early}");
        assert!(!site.read(2).await.is_empty(), "another key");
        let whole = std::fs::read(site.path()).unwrap();
        let mut refused = 0;
        for (table, change) in changes(&site.path()).await {
            let mut database = connect(&site.path()).await;
            // What the schema refuses cannot be written either.
            let changed = sqlx::raw_sql(AssertSqlSafe(change.clone()));
            let changed = changed.execute(&mut database).await;
            database.close().await.unwrap();
            if changed.is_ok_and(|done| done.rows_affected() > 0) {
                refused += 1;
                let errors = site.read(1).await;
                let names_it = |error: &StoreError| matches!(error, StoreError::Altered(row) if row.starts_with(table));
                assert!(!errors.is_empty(), "{change}");
                assert!(errors.iter().all(names_it), "{change}: {errors:?}");
            }
            std::fs::write(site.path(), &whole).unwrap();
        }
        assert!(refused >= 30, "{refused}");
    }
}

/// A write that changes a part of a row does not bless the rest of it.
#[tokio::test]
async fn an_altered_row_gets_no_new_mac() {
    let site = Site::new(false).await;
    let store = SqliteStore::open(site.path()).await.unwrap();
    store.authenticate(&key(1)).await.unwrap();
    let mut database = connect(&site.path()).await;
    let change = "UPDATE deployment SET clock_lag_ms = 7; UPDATE hsm_move SET emptied = 0";
    sqlx::raw_sql(change).execute(&mut database).await.unwrap();
    let altered = |done: Result<(), StoreError>| matches!(done, Err(StoreError::Altered(_)));
    assert!(altered(store.raise_clock_mark(&mark(90)).await));
    assert!(altered(store.confirm_clock(&mark(90)).await));
    assert!(altered(store.hsm_is_emptied().await));
    let next = BatchCommit {
        mark: mark(90),
        ..batch(2, vec![])
    };
    assert!(altered(store.commit_batch(&next).await));
    assert_eq!(store.altered(), Some("deployment 1"));
}
