//! Whatever somebody else writes into a row that is authenticated, the store says so and hands out
//! nothing of it; of every column of every such table.

use lethe_core::clock::Mark;
use lethe_core::deployment_key::DeploymentKey;
use lethe_core::erasure::{Erasure, ErasureKind, ErasureNumber};
use lethe_core::identity::{DeploymentId, HsmKeyId};
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::{
    BatchCommit, BatchStore, BucketStore, ClockStore, DeploymentStore, ErasureStore, HsmMoveStore,
    SigningPurpose, StoreError, VerificationKey,
};
use lethe_core::secret::Secret32;
use lethe_core::succession::{PublishedKey, Succession};
use lethe_core::time::Timestamp;

use super::erasures::{erasure, shred};
use super::{Fixture, batch, bucket};

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
    let erase = ErasureKind::EraseKeyspace("chat".parse().expect("a name"));
    [
        shred(1),
        erasure(2, erase),
        erasure(3, ErasureKind::DropVersion(KeyVersion::FIRST)),
    ]
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

/// Rows that were there before the deployment had a key, and later ones.
async fn fill(fixture: &impl Fixture, early: bool) {
    let store = fixture.store();
    let done = "a store";
    let id = DeploymentId::from_bytes([9; 16]);
    store.set_deployment(id).await.expect(done);
    if !early {
        store.commit_batch(&begin()).await.expect(done);
    }
    store.accept(&erasures()).await.expect(done);
    let buckets = [bucket(60), bucket(90)];
    store.create_buckets(&buckets).await.expect(done);
    store.begin_hsm_move(&published()).await.expect(done);
    store.hsm_is_emptied().await.expect(done);
    store.raise_clock_mark(&mark(80)).await.expect(done);
    if early {
        store.commit_batch(&begin()).await.expect(done);
    }
}

/// As the service does: what it reads first, then with the key.
async fn read(fixture: &mut impl Fixture, with: u8) -> Vec<StoreError> {
    fixture.reopen().await;
    let store = fixture.store();
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
    errors
}

async fn alter(fixture: &impl Fixture, statements: String) {
    let altered = fixture.alter(&statements).await;
    altered.unwrap_or_else(|why| panic!("{statements}: {why}"));
}

async fn every_column_of(mut fixture: impl Fixture, early: bool) {
    fill(&fixture, early).await;
    assert_eq!(read(&mut fixture, 1).await, [], "{early}");
    assert!(!read(&mut fixture, 2).await.is_empty(), "another key");
    let mut refused = 0;
    for (table, columns) in fixture.authenticated().await {
        let saved = format!("CREATE TABLE saved_{table} AS SELECT * FROM {table}");
        alter(&fixture, saved).await;
        let change = |(column, other): (String, String)| {
            format!("UPDATE {table} SET {column} = {other} WHERE {column} IS NOT NULL")
        };
        let changes = columns.into_iter().map(change);
        let changes = changes.chain([format!("UPDATE {table} SET mac = NULL")]);
        for change in changes.collect::<Vec<_>>() {
            // What the schema refuses cannot be written either.
            if fixture.alter(&change).await.is_ok_and(|rows| rows > 0) {
                refused += 1;
                let errors = read(&mut fixture, 1).await;
                let names_it = |error: &StoreError| matches!(error, StoreError::Altered(row) if row.starts_with(&table));
                assert!(!errors.is_empty(), "{change}");
                assert!(errors.iter().all(names_it), "{change}: {errors:?}");
            }
            let back =
                format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM saved_{table}");
            alter(&fixture, back).await;
        }
    }
    assert_eq!(read(&mut fixture, 1).await, [], "all is as it was");
    assert!(refused >= 30, "{refused}");
}

/// No column of an authenticated row can be changed unnoticed.
pub async fn every_column_counts(fixture: impl Fixture) {
    every_column_of(fixture, false).await;
}

/// Nor one of a row that was there before the deployment had a key.
pub async fn every_column_of_an_early_row_counts(fixture: impl Fixture) {
    every_column_of(fixture, true).await;
}

/// A write that changes a part of a row does not bless the rest of it.
pub async fn an_altered_row_gets_no_new_mac(fixture: impl Fixture) {
    fill(&fixture, false).await;
    let change = "UPDATE deployment SET clock_lag_ms = 7; UPDATE hsm_move SET emptied = 0";
    alter(&fixture, change.into()).await;
    let store = fixture.store();
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
