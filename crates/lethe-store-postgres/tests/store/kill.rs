//! A server that dies at any instant loses nothing that the store acknowledged, and the store goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lethe_core::erasure::AcceptedErasure;
use lethe_core::ports::{BucketStore, Durability, ErasureStore, StoreError, Strength};
use lethe_store_postgres::PostgresStore;
use lethe_testkit::postgres::Server;
use lethe_testkit::store_contract::{bucket, shred};

use sqlx::Executor;

use crate::pooler::{NO_EDITS, Pooler};
use crate::site::{Site, until_async};

/// Writes buckets one after the other; each is there, also where its answer was lost.
async fn write(store: Arc<PostgresStore>, acknowledged: Arc<AtomicU64>) {
    for expiry in 0.. {
        while store.create_buckets(&[bucket(expiry)]).await.is_err() {
            // As after any error: what became of it is looked up.
            let found = store.buckets().await;
            if found.is_ok_and(|found| found.contains(&bucket(expiry))) {
                break;
            }
            tokio::task::yield_now().await;
        }
        acknowledged.store(expiry + 1, Ordering::Release);
    }
}

async fn until(acknowledged: &AtomicU64, number: u64) {
    let there = async || acknowledged.load(Ordering::Acquire) >= number;
    until_async("acknowledged", there).await;
}

/// The store answers again after a while.
async fn found(store: &PostgresStore, byte: u8) -> Vec<AcceptedErasure> {
    let mut found = Err(StoreError::InUse);
    until_async("requests are found", async || {
        found = store.erasures_by_id(&[shred(byte).id]).await;
        found.is_ok()
    })
    .await;
    found.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_crash_of_the_server() {
    let server = Server::new();
    let site = Site::new(&server);
    let store = Arc::new(site.create().await);
    let acknowledged = Arc::<AtomicU64>::default();
    let writer = tokio::spawn(write(Arc::clone(&store), Arc::clone(&acknowledged)));
    for _ in 0..2 {
        let before = acknowledged.load(Ordering::Acquire);
        until(&acknowledged, before + 30).await;
        server.stop("immediate");
        let before = acknowledged.load(Ordering::Acquire);
        server.start();
        let rows: u64 = site
            .sql("SELECT count(*) FROM bucket_share")
            .parse()
            .unwrap();
        assert!(rows >= before, "{rows} rows, acknowledged {before}");
    }
    let before = acknowledged.load(Ordering::Acquire);
    until(&acknowledged, before + 30).await;
    writer.abort();
    store.close().await;
}

/// Sessions that end while calls are under way: every request is numbered once, without gaps.
#[tokio::test(flavor = "multi_thread")]
async fn requests_have_no_gaps_whatever_ends_their_sessions() {
    let site = Site::new(Server::shared());
    let store = Arc::new(site.create().await);
    let end = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = '{}' AND application_name = 'lethe'",
        site.database
    );
    for byte in 0..60 {
        let accepting = Arc::clone(&store);
        let accepting = tokio::spawn(async move { accepting.accept(&[shred(byte)]).await });
        if byte % 3 == 0 {
            site.sql(&end);
        }
        let accepted = accepting.await.unwrap();
        let found = found(&store, byte).await;
        match accepted {
            Ok(number) => assert_eq!(found[0].number, number),
            // Looked up once, and decided then.
            Err(_) => {
                let again = store.erasures_by_id(&[shred(byte).id]).await;
                assert_eq!(again, Ok(found));
            }
        }
    }
    let gaps = "SELECT count(*) - max(number) FROM request";
    assert_eq!(site.sql(gaps), "0");
    until_async("the barrier", async || {
        store.barrier(Strength::Destroying).await.is_ok()
    })
    .await;
    store.close().await;
}

/// A COMMIT is under way in the server when its connection is lost: whoever looks sees what became of it, and
/// nothing comes later.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_an_answer_is_decided_before_anybody_looks() {
    let site = Site::new(Server::shared());
    site.create().await.close().await;
    // The COMMIT of a bucket waits for this lock.
    site.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON bucket_share
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    let pooler = Pooler::new(site.server.socket(), NO_EDITS);
    let connect = site.connect_through(pooler.socket());
    let store = Arc::new(site.try_open(&connect).await.unwrap());
    let mut other = site.session().await;
    other.execute("SELECT pg_advisory_lock(7)").await.unwrap();
    let creating = Arc::clone(&store);
    let creating = tokio::spawn(async move { creating.create_buckets(&[bucket(1)]).await });
    site.until_sessions(1, "wait_event_type = 'Lock'");
    pooler.cut();
    let created = creating.await.unwrap();
    assert!(matches!(created, Err(StoreError::Unavailable(_))));
    let mut seen = vec![];
    until_async("buckets", async || {
        let found = store.buckets().await;
        found.map(|found| seen = found).is_ok()
    })
    .await;
    other.execute("SELECT pg_advisory_unlock(7)").await.unwrap();
    site.until_sessions(0, "state <> 'idle'");
    assert_eq!(store.buckets().await, Ok(seen));
    store.close().await;
}
