//! A caller that goes away leaves nothing half-way: sqlx's own futures would.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use lethe_core::approval::{
    Action, Approval, ApprovalDecision, ApprovalId, ApprovalState, Asker, Decision, End, Pool,
    Principal, ShredCount, ShredLimits,
};
use lethe_core::clock::Mark;
use lethe_core::erasure::{Erasure, ErasureNumber};
use lethe_core::identity::{DeploymentId, HsmKeyId, KeyspaceId};
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::{
    ApprovalStore, BatchStore, BucketStore, Capacity, ClockStore, DeploymentStore, Durability,
    Effect, ErasureStore, ExpiryRow, HsmMoveStore, KeyUse, KeyUseStore, KeyspaceChange,
    KeyspaceStore, ReceiptStore, Strength, TreeStore, Uses,
};
use lethe_core::receipt::ErasureId;
use lethe_core::time::{Expiry, Timestamp};
use lethe_core::tree::TreeId;
use lethe_store_postgres::PostgresStore;
use lethe_testkit::postgres::Server;
use lethe_testkit::store_contract::{batch, bucket, destruction, keyspace, shred};

use sqlx::Executor;

use crate::site::Site;

type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

/// So many kinds of calls.
const KINDS: u64 = 24;
const ROUNDS: u64 = 40;

fn id(number: u64) -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    id
}

fn erasure(number: u64) -> Erasure {
    Erasure {
        id: ErasureId::from_bytes(id(number)),
        ..shred(1)
    }
}

fn erasures(number: u64) -> [Erasure; 2] {
    [erasure(number * 2), erasure(number * 2 + 1)]
}

fn approval(number: u64) -> Approval {
    Approval {
        id: ApprovalId::from_bytes(id(number)),
        action: Action::ConfirmClock,
        scope: None,
        asked_by: Principal {
            client: "a".into(),
            key: [1; 32],
        },
        asked_at: Timestamp::from_millis(1),
        expires_at: Timestamp::from_millis(2),
        reason: None,
        digest: None,
        state: ApprovalState::Waiting,
        decision: None,
    }
}

fn count() -> ShredCount {
    let asker = Asker {
        pool: Pool::Operators,
        client: "a".into(),
        keyspace: KeyspaceId::from_bytes([1; 16]),
    };
    ShredCount {
        asker,
        conversations: 2,
    }
}

const LIMITS: ShredLimits = ShredLimits {
    span: Duration::from_millis(100),
    pool: 9_999,
    client: 9_999,
    keyspace: 9_999,
    floor: 0,
};

fn mark(number: u64) -> Mark {
    Mark {
        high_water: Some(Timestamp::from_millis(number)),
        ..Mark::default()
    }
}

/// A batch that makes the keyspace of its number.
async fn next_batch(store: &PostgresStore) {
    let Ok(meta) = store.meta().await else { return };
    let next = meta.map_or(1, |meta| meta.sequence + 1);
    let mut row = keyspace(1, &format!("k-{next}"));
    row.id = KeyspaceId::from_bytes(id(next));
    let next = batch(next, vec![KeyspaceChange::Create(row)]);
    // Another one of these may have been first.
    let _ = store.commit_batch(&next).await;
}

async fn write(store: &PostgresStore, kind: u64, number: u64) {
    let at = Timestamp::from_millis(number);
    let waiting = ApprovalId::from_bytes(id(number - number % KINDS));
    let decision = Decision {
        by: approval(1).asked_by,
        at,
    };
    let room = Capacity {
        all: 9_999,
        of_client: 9_999,
    };
    match kind {
        0 => drop(store.accept(&erasures(number)).await),
        1 => next_batch(store).await,
        2 => drop(
            store
                .create_buckets(&[bucket(number), bucket(number + 9_999)])
                .await,
        ),
        3 => drop(
            store
                .ask_approval(&approval(number - 3), &erasures(number), room)
                .await,
        ),
        4 => drop(
            store
                .accept_counted(&erasures(number), &[count()], &LIMITS, at)
                .await,
        ),
        5 => {
            let id = waiting;
            let decision = ApprovalDecision { id, decision };
            let erasures = erasures(number);
            drop(store.approve(&decision, Effect::Erasures(&erasures)).await);
        }
        6 => drop(store.end_approval(waiting, End::Expired, at, None).await),
        7 => drop(store.approval_is_recorded(waiting).await),
        8 => drop(store.raise_clock_mark(&mark(number)).await),
        9 => drop(store.confirm_clock(&mark(number)).await),
        10 => drop(store.begin_hsm_move(&[]).await),
        11 => drop(store.finish_hsm_move().await),
        12 => drop(store.sweep_dropped_trees().await),
        13 => {
            let bucket = bucket(number - 11);
            let signed = destruction(number, vec![bucket.key]);
            let expiry = bucket.expiry;
            drop(store.finish_bucket(&ExpiryRow { expiry, signed }).await);
        }
        14 => {
            let version = KeyVersion::FIRST;
            let uses = Uses {
                issued: 1,
                ..Uses::default()
            };
            let client = "a".into();
            let keyspace = KeyspaceId::from_bytes(id(1));
            let one = KeyUse {
                keyspace,
                version,
                client,
                uses,
            };
            drop(store.add_key_uses(&[one]).await);
        }
        15 => drop(
            store
                .set_deployment(DeploymentId::from_bytes([1; 16]))
                .await,
        ),
        16 => drop(
            store
                .replace_buckets(&[(HsmKeyId::from_bytes([7; 16]), bucket(7))])
                .await,
        ),
        17 => drop(store.sign_batch(number, &destruction(1, vec![])).await),
        _ => read(store, kind, number).await,
    }
}

async fn read(store: &PostgresStore, kind: u64, number: u64) {
    let first = ErasureNumber::new(1);
    match kind {
        18 => drop(store.open_erasures(first).await),
        19 => drop(store.buckets().await),
        20 => drop(store.keyspaces().await),
        21 => {
            let keyspace = KeyspaceId::from_bytes(id(number % 9));
            let version = KeyVersion::FIRST;
            drop(store.next_tail(TreeId { keyspace, version }).await);
        }
        22 => drop(store.expiries(Expiry::from_seconds(0), 9).await),
        _ => drop(store.barrier(Strength::Destroying).await),
    }
}

fn call(store: &Arc<PostgresStore>, kind: u64, number: u64) -> Call {
    let store = Arc::clone(store);
    Box::pin(async move { write(&store, kind, number).await })
}

/// Each of these is one statement, so one snapshot.
const WHOLE: [&str; 4] = [
    "SELECT (SELECT coalesce(max(sequence), 0) FROM meta) = (SELECT count(*) FROM keyspace)
        AND (SELECT count(*) FROM keyspace) = (SELECT count(*) FROM tree WHERE next_tail > 0)",
    "SELECT (SELECT last_request FROM head) = (SELECT count(*) FROM request)
        AND (SELECT count(*) % 2 FROM request) = 0",
    "SELECT count(*) = 0 FROM approval a WHERE state IN (0, 2)
        AND 2 <> (SELECT count(*) FROM waiting_request WHERE approval_id = a.id)",
    "SELECT NOT EXISTS (SELECT 1 FROM bucket_share s WHERE expiry_s < 9999 AND NOT EXISTS
        (SELECT 1 FROM bucket_share WHERE expiry_s = s.expiry_s + 9999))",
];

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_dropped_leave_nothing_half_way() {
    let server = Server::new();
    let site = Site::new(&server);
    let store = Arc::new(site.create().await);
    let mut seed: u64 = std::process::id().into();
    println!("seed {seed}");
    for round in 1..=ROUNDS {
        for kind in 0..KINDS {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Up to the time that a call takes, and a little more.
            let later = Duration::from_micros((seed >> 33) % 3_000);
            let call = call(&store, kind, round * KINDS + kind);
            let _ = tokio::time::timeout(later, call).await;
        }
        for whole in WHOLE {
            assert_eq!(site.sql(whole), "t", "{whole}");
        }
    }
    let accepted = store.accept(&[erasure(u64::MAX)]).await;
    assert!(accepted.is_ok(), "{accepted:?}");
    store.close().await;
    let log = server.logged();
    for sign in ["transaction in progress", "idle-in-transaction"] {
        assert!(!log.contains(sign), "{log}");
    }
    let calls = site.sql("SELECT count(*) FROM request");
    println!("{calls} requests");
}

/// What was begun is carried out.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_begun_goes_on_without_its_caller() {
    let site = Site::new(Server::shared());
    let store = Arc::new(site.create().await);
    let mut other = site.session().await;
    other
        .execute("BEGIN; LOCK TABLE bucket_share")
        .await
        .unwrap();
    let creating = Arc::clone(&store);
    let creating = tokio::spawn(async move { creating.create_buckets(&[bucket(1)]).await });
    site.until_sessions(1, "wait_event_type = 'Lock'");
    creating.abort();
    assert!(creating.await.unwrap_err().is_cancelled());
    other.execute("COMMIT").await.unwrap();
    site.until_sessions(0, "state <> 'idle'");
    assert_eq!(store.buckets().await, Ok(vec![bucket(1)]));
    store.close().await;
}
