//! The keeper beside the node's own task: what each of them does, and what the keeper checks itself.

mod site;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lethe_core::batch::{Halt, Work};
use lethe_core::clock::{Doubt, Mark};
use lethe_core::erasure::{Erasure, ErasureKind, ErasureNumber};
use lethe_core::identity::KeyspaceId;
use lethe_core::ports::{ClockStore, ErasureStore, HsmError, StoreError};
use lethe_core::receipt::ErasureId;
use parking_lot::Mutex;
use rustix::thread::gettid;
use sqlx::{ConnectOptions, Connection};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::node::NodeState;
use crate::node::upkeep::{TICK, write_marks};
use site::Site;

#[tokio::test]
async fn a_jump_that_nobody_has_seen_yet_is_seen_before_anything_is_destroyed() {
    let mut site = Site::new().await;
    let expiry = site.expired_bucket().await;
    site.jump();
    site.keeper.reap().await.unwrap();
    assert_eq!(site.node.clock.doubt(), Some(Doubt::Ahead));
    assert!(site.in_hsm(expiry).await);
    assert!(!site.in_memory(expiry), "it is refused all the same");
    assert_eq!(site.node.condition.lock().overdue, [expiry]);
    // Confirmed, it goes.
    site.node.clock.adopt(site.node.clock.confirmation());
    site.keeper.reap().await.unwrap();
    assert!(!site.in_hsm(expiry).await);
}

#[tokio::test]
async fn a_bucket_is_out_of_memory_and_its_time_written_down_before_it_is_destroyed() {
    let mut site = Site::new().await;
    let expiry = site.expired_bucket().await;
    let (seen, node) = (Arc::new(Mutex::new(Vec::new())), Arc::clone(&site.node));
    let found = Arc::clone(&seen);
    site.listen(move |call| {
        if call == "destroy" {
            let held = node.key_state.keyring().buckets.contains_key(&expiry);
            found.lock().push(held);
        }
        Ok(())
    });
    site.keeper.reap().await.unwrap();
    assert_eq!(*seen.lock(), [false]);
    assert!(!site.in_hsm(expiry).await);
    let mark = site.store.clock_mark().await.unwrap().high_water;
    assert!(mark >= Some(expiry.instant()));
}

/// Whoever takes the claim makes a root then: one that is in a list from before is not of theirs.
#[tokio::test]
async fn the_claim_is_looked_at_between_each_list_of_the_roots_and_what_is_destroyed() {
    let mut site = Site::new().await;
    let calls = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&calls);
    site.listen(move |call| {
        if ["keys", "claim", "destroy"].contains(&call) {
            heard.lock().push(call);
        }
        Ok(())
    });
    site.keeper.batch(Work::default()).await.unwrap();
    assert_eq!(*calls.lock(), ["keys", "claim", "destroy", "keys", "claim"]);
}

/// The condition of the HSM, and how often the HSM was asked for its status.
fn condition(node: &NodeState, looks: &Mutex<u32>) -> (Option<String>, u32) {
    let hsm = node.condition.lock().hsm().map(str::to_owned);
    (hsm, *looks.lock())
}

#[tokio::test]
async fn after_a_lost_answer_the_hsm_is_looked_at_before_all_is_well() {
    let mut site = Site::new().await;
    let away = HsmError::Unavailable("away".into());
    let (looks, lost) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(vec![])));
    let (counted, failing) = (Arc::clone(&looks), Arc::clone(&lost));
    let answer = away.clone();
    site.listen(move |call| {
        *counted.lock() += u32::from(call == "status");
        match failing.lock().contains(&call) {
            true => Err(answer.clone()),
            false => Ok(()),
        }
    });
    site.keeper.tick().await.unwrap();
    let node = Arc::clone(&site.node);
    assert_eq!(
        condition(&node, &looks),
        (None, 0),
        "the node looks by itself"
    );
    // One answer is lost. At the next tick the HSM answers every call but that for its status.
    *lost.lock() = vec!["create_key"];
    let batch = site.keeper.rotate_root().await;
    assert!(batch.is_err());
    site.keeper.record_result(Err(away.clone().into())).unwrap();
    *lost.lock() = vec!["status"];
    let why = Some(away.to_string());
    site.keeper.tick().await.unwrap();
    assert_eq!(condition(&node, &looks), (why.clone(), 1));
    site.keeper.tick().await.unwrap();
    assert_eq!(condition(&node, &looks), (why, 2));
    lost.lock().clear();
    site.keeper.tick().await.unwrap();
    assert_eq!(condition(&node, &looks), (None, 3));
    site.keeper.tick().await.unwrap();
    assert_eq!(condition(&node, &looks), (None, 3));
}

#[tokio::test]
async fn what_the_leader_could_not_do_stays_though_the_node_finds_the_hsm_well() {
    let mut site = Site::new().await;
    site.keeper
        .record_result(Err(HsmError::Full.into()))
        .unwrap();
    site.node.check_hsm(site.hsm.as_ref()).await.unwrap();
    let condition = site.node.condition.lock().clone();
    assert_eq!(condition.hsm(), Some("the HSM is full"));
    assert_eq!(condition.seen.unwrap().status.token, "memory");
}

#[tokio::test]
async fn what_has_expired_goes_from_memory_without_a_leader_and_nothing_else_does() {
    let mut site = Site::new().await;
    let expiry = site.expired_bucket().await;
    assert_eq!(site.round().await, None);
    assert!(!site.in_memory(expiry) && site.in_hsm(expiry).await);
    site.jump();
    assert_eq!(site.round().await, None);
    assert_eq!(site.node.clock.doubt(), Some(Doubt::Ahead));
}

/// A store that never answers, and tells when it is asked.
#[derive(Default)]
struct Hanging(Notify);

#[async_trait]
impl ClockStore for Hanging {
    async fn clock_mark(&self) -> Result<Mark, StoreError> {
        std::future::pending().await
    }

    async fn raise_clock_mark(&self, _: &Mark) -> Result<(), StoreError> {
        self.0.notify_one();
        std::future::pending().await
    }

    async fn confirm_clock(&self, _: &Mark) -> Result<(), StoreError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_store_that_hangs_keeps_no_expired_key_in_memory() {
    let store = Arc::<Hanging>::default();
    let hanging = Arc::clone(&store);
    let mut site = Site::with_marks(|_| hanging).await;
    let stop = CancellationToken::new();
    let marks = tokio::spawn(write_marks(Arc::clone(&site.node)));
    let upkeep = tokio::spawn(site.upkeep().run(stop.clone()));
    store.0.notified().await;
    let expiry = site.expired_bucket().await;
    let gone = async {
        while site.in_memory(expiry) {
            tokio::time::sleep(TICK / 10).await;
        }
    };
    timeout(Duration::from_secs(30), gone).await.unwrap();
    stop.cancel();
    assert_eq!(upkeep.await.unwrap(), None);
    marks.abort();
}

#[tokio::test]
async fn the_time_is_written_down_by_itself() {
    let site = Site::new().await;
    let now = site.node.now();
    let marks = tokio::spawn(write_marks(Arc::clone(&site.node)));
    let written = async {
        while site.store.clock_mark().await.unwrap().high_water < Some(now) {
            tokio::time::sleep(TICK / 10).await;
        }
    };
    timeout(Duration::from_secs(30), written).await.unwrap();
    marks.abort();
}

/// Nobody's older look takes the place of a newer one: who looks may already write down what it sees.
#[tokio::test]
async fn the_clock_is_looked_at_by_one_after_the_other() {
    let site = Site::new().await;
    site.jump();
    let node = &site.node;
    let (sender, threads) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let held = node.condition.lock();
        let look = scope.spawn(move || {
            sender.send(gettid()).unwrap();
            node.check_clock()
        });
        let stat = format!("/proc/self/task/{}/stat", threads.recv().unwrap());
        // Until it sleeps.
        while !std::fs::read_to_string(&stat).unwrap().contains(") S ") {
            std::thread::yield_now();
        }
        let seen = node.clock.doubt();
        drop(held);
        assert_eq!(look.join().unwrap(), Some(Doubt::Ahead));
        assert_eq!(seen, None);
    });
}

/// Alters a row, and reads it, so that the store has found it.
async fn alter(site: &Site) -> Halt {
    let erasure = Erasure {
        id: ErasureId::from_bytes([1; 16]),
        keyspace: KeyspaceId::from_bytes([1; 16]),
        accepted_at: site.node.now(),
        leases_end_at: site.node.now(),
        kind: ErasureKind::EraseKeyspace("chat".parse().unwrap()),
    };
    let first = site.store.accept(&[erasure]).await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new();
    let options = options.filename(site.folder.path().join("lethe.db"));
    let mut database = options.connect().await.unwrap();
    let change = sqlx::raw_sql("UPDATE request SET accepted_at_ms = accepted_at_ms + 1");
    change.execute(&mut database).await.unwrap();
    database.close().await.unwrap();
    assert_eq!(first, ErasureNumber::new(1));
    assert!(site.store.erasures(first, first).await.is_err());
    Halt::Altered("request 1".into())
}

#[tokio::test]
async fn who_found_an_altered_row_halts_node_and_leader_and_nothing_is_destroyed() {
    let mut site = Site::new().await;
    let expiry = site.expired_bucket().await;
    let halt = alter(&site).await;
    assert_eq!(site.round().await, Some(halt.clone()));
    assert_eq!(site.keeper.run_next_batch().await, Err(halt.clone()));
    assert_eq!(site.keeper.tick().await, Err(halt));
    assert!(site.in_hsm(expiry).await);
}
