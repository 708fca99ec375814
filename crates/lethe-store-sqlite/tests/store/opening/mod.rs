//! Opening the deployment's state changes nothing, wherever a batch was cut off; the recovery after it
//! finishes the batch. On SQLite, because every row of it can be compared.

mod world;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use lethe_core::batch::{BatchError, Current, Halt, Opened, Ports, Reader, Work};
use lethe_core::claim::{Claim, examine};
use lethe_core::ports::{
    BatchStore, ClaimKind, DeploymentStore, ErasureStore, Hsm, HsmError, ReceiptStore,
};
use lethe_testkit::watched_hsm::{WatchedHsm, Watcher};
use sqlx::Connection;
use tokio::sync::oneshot;

use world::World;

/// Lets so many calls pass, and none after them: what a process that dies there would have done.
struct CutOff {
    passing: usize,
    calls: AtomicUsize,
    next: Mutex<Option<&'static str>>,
}

impl CutOff {
    const fn after(passing: usize) -> Self {
        Self {
            passing,
            calls: AtomicUsize::new(0),
            next: Mutex::new(None),
        }
    }

    /// The first call that was not made.
    fn next(&self) -> Option<&'static str> {
        *self.next.lock().unwrap()
    }
}

#[async_trait]
impl Watcher for CutOff {
    async fn before(&self, call: &'static str) -> Result<(), HsmError> {
        if self.calls.fetch_add(1, Ordering::Relaxed) < self.passing {
            return Ok(());
        }
        self.next.lock().unwrap().get_or_insert(call);
        Err(HsmError::Unavailable("cut off".into()))
    }
}

/// Writes the calls down.
#[derive(Default)]
struct Calls(Mutex<Vec<&'static str>>);

#[async_trait]
impl Watcher for Calls {
    async fn before(&self, call: &'static str) -> Result<(), HsmError> {
        self.0.lock().unwrap().push(call);
        Ok(())
    }
}

/// A process that has no claim opens the state: it asks the HSM for one thing alone.
async fn open_as_another(world: &World) -> Opened {
    let watched = Arc::new(WatchedHsm::new(
        Arc::clone(&world.hsm) as _,
        Calls::default(),
    ));
    let ports = world.ports(Arc::clone(&watched) as _);
    let opened = Opened::open(Reader::of(&ports)).await.unwrap();
    assert_eq!(*watched.watcher.0.lock().unwrap(), ["open"]);
    opened
}

/// Runs a batch with an HSM that is gone after so many calls. The first call that was not made; none when
/// the batch came to its end.
async fn run_cut_off(
    world: &World,
    ports: &Ports,
    current: Current,
    work: Work,
    passing: usize,
) -> Option<&'static str> {
    let cut = Arc::new(WatchedHsm::new(
        Arc::clone(&world.hsm) as _,
        CutOff::after(passing),
    ));
    let ports = Ports {
        hsm: Arc::clone(&cut) as _,
        ..ports.clone()
    };
    let ran = current.run(world.node(&ports), work).await;
    assert_eq!(ran.is_err(), cut.watcher.next().is_some());
    cut.watcher.next()
}

#[tokio::test]
async fn opening_changes_nothing_wherever_a_batch_was_cut_off() {
    let mut cuts = Vec::new();
    for passing in 0.. {
        let (world, ports, current) = World::new().await;
        let before = current.sequence();
        let work = world.shreds(1, 3).await;
        let Some(call) = run_cut_off(&world, &ports, current, work, passing).await else {
            break;
        };
        let seen = world.seen().await;
        let opened = open_as_another(&world).await;
        assert_eq!(world.seen().await, seen, "cut off at {call}");
        let committed = opened.sequence() > before;
        let roots = world.objects().await;
        let roots = roots.iter().filter(|it| it.contains("/root/")).count();
        let unsigned = world.store.unsigned_batches().await.unwrap().len();
        cuts.push((call, committed, roots, unsigned));
    }
    // Whether the store names the new root by then, how many roots there are, and how many batches lack
    // their signature.
    let expected = [
        ("holds", false, 1, 0),
        ("create_key", false, 1, 0),
        ("seal", false, 2, 0),
        ("open", true, 2, 1),
        ("keys", true, 2, 1),
        ("claim", true, 2, 1),
        ("destroy", true, 2, 1),
        ("keys", true, 1, 1),
        ("claim", true, 1, 1),
        ("sign", true, 1, 1),
    ];
    assert_eq!(cuts, expected);
}

#[tokio::test]
async fn recovering_what_was_opened_finishes_the_batch_wherever_it_was_cut_off() {
    for passing in 0..10 {
        let (world, ports, current) = World::new().await;
        let before = current.sequence();
        let work = world.shreds(1, 3).await;
        let again = world.store.erasures(first(&work), last(&work)).await;
        let call = run_cut_off(&world, &ports, current, work, passing).await;
        let committed = open_as_another(&world).await.sequence() > before;
        let recovered = world.recover(&ports).await;
        assert_eq!(recovered.current.sequence(), before + u64::from(committed));
        assert_eq!(recovered.finished.is_some(), committed, "{call:?}");
        let keys = world.hsm.verification_keys(world.deployment).await.unwrap();
        for accepted in recovered.finished.iter().flat_map(|it| it.erasures()) {
            let finished = recovered.finished.as_ref().unwrap();
            let receipt = finished.receipt(accepted.number).unwrap();
            receipt.verify(&keys).unwrap();
        }
        only_the_root_of(&world, &recovered.current).await;
        // What was not committed is done now, and nothing of it twice.
        let open = world.store.fulfilled_up_to().await.unwrap();
        let open = world.store.open_erasures(open).await.unwrap();
        assert_eq!(open.is_empty(), committed, "{call:?}");
        if !committed {
            assert_eq!(Ok(open.clone()), again);
            let work = Work {
                erasures: open,
                ..Work::default()
            };
            let ran = recovered.current.run(world.node(&ports), work).await;
            let (current, finished) = ran.unwrap();
            assert_eq!(finished.unwrap().erasures().len(), 3);
            only_the_root_of(&world, &current).await;
        }
    }
}

fn first(work: &Work) -> lethe_core::erasure::ErasureNumber {
    work.erasures.first().unwrap().number
}

fn last(work: &Work) -> lethe_core::erasure::ErasureNumber {
    work.erasures.last().unwrap().number
}

/// One root is left, which the store names, and no batch lacks its signature.
async fn only_the_root_of(world: &World, current: &Current) {
    let meta = world.store.meta().await.unwrap().unwrap();
    assert_eq!(Some(meta.share.root), current.root());
    let keys = world.hsm.keys(world.deployment).await.unwrap();
    let ids: Vec<_> = keys.iter().map(|key| key.id).collect();
    assert_eq!(ids, [meta.share.root]);
    assert_eq!(world.store.unsigned_batches().await, Ok(vec![]));
}

/// Says that the first call is about to be made, and waits until it may.
struct PauseOnce(Mutex<Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>>);

#[async_trait]
impl Watcher for PauseOnce {
    async fn before(&self, _: &'static str) -> Result<(), HsmError> {
        let first = self.0.lock().unwrap().take();
        if let Some((reached, go_on)) = first {
            reached.send(()).unwrap();
            go_on.await.unwrap();
        }
        Ok(())
    }
}

/// The root that was read is destroyed before it is asked for.
#[tokio::test]
async fn opening_beside_a_running_leader_finds_the_state_that_it_goes_on_to() {
    let (world, leader, current) = World::new().await;
    let (before, work) = (current.sequence(), world.shreds(1, 3).await);
    let ((reached, about_to_call), (go, go_on)) = (oneshot::channel(), oneshot::channel());
    let watcher = PauseOnce(Mutex::new(Some((reached, go_on))));
    let ports = world.ports(Arc::new(WatchedHsm::new(
        Arc::clone(&world.hsm) as _,
        watcher,
    )));
    let batch = async {
        about_to_call.await.unwrap();
        current.run(world.node(&leader), work).await.unwrap();
        go.send(()).unwrap();
    };
    let (opened, ()) = tokio::join!(Opened::open(Reader::of(&ports)), batch);
    let opened = opened.unwrap();
    assert_eq!(opened.sequence(), before + 1);
    assert_eq!(opened.directory().entries().len(), 1);
}

#[tokio::test]
async fn a_root_that_is_gone_is_no_state_and_nothing_is_changed() {
    let (world, ports, current) = World::new().await;
    let root = world.hsm.keys(world.deployment).await.unwrap();
    world.hsm.destroy(root[0]).await.unwrap();
    let seen = world.seen().await;
    let halt = Halt::RootDoesNotOpen(current.root().unwrap().to_string());
    let opened = Opened::open(Reader::of(&ports)).await;
    assert_eq!(opened.err(), Some(BatchError::Halt(halt)));
    assert_eq!(world.seen().await, seen);
}

/// Who has not taken the claim may open the state, and that is all.
#[tokio::test]
async fn who_has_no_claim_gets_no_epoch() {
    let (world, _, _) = World::new().await;
    let ports = world.ports(Arc::clone(&world.hsm) as _);
    open_as_another(&world).await;
    let seen = world.seen().await;
    let epoch = lethe_core::batch::Epoch::next(&ports).await;
    assert_eq!(epoch.err(), Some(BatchError::Halt(Halt::NoClaim)));
    assert_eq!(world.seen().await, seen);
}

/// Releases before the seat wrote `sqlite:<machine id>:<path>`: such a claim is this store's where it says so, until
/// the store has a seat.
#[tokio::test]
async fn a_claim_of_an_earlier_release_is_taken_where_it_was_written() {
    let (world, ports, _) = World::new().await;
    let [written, elsewhere] = ["/a/lethe.db", "/b/lethe.db"]
        .map(|path| format!("sqlite:0123456789abcdef0123456789abcdef:{path}"));
    let hsm = &world.hsm;
    let put = async || {
        let set = hsm.set_claim(world.deployment, ClaimKind::Held, &written);
        set.await.unwrap();
    };
    put().await;
    let mut database = world.database().await;
    let no_seat = sqlx::raw_sql("DELETE FROM seat").execute(&mut database);
    no_seat.await.unwrap();
    database.close().await.unwrap();
    let is_foreign = |error| matches!(error, BatchError::Halt(Halt::ForeignClaim { .. }));
    for other in [None, Some(elsewhere.as_str())] {
        let refused = examine(&ports, other).await;
        assert!(refused.err().is_some_and(is_foreign), "{other:?}");
    }
    let candidate = examine(&ports, Some(&written)).await.unwrap();
    assert_eq!(candidate.take(&ports).await, Ok(None));
    let claims = hsm.claim(world.deployment, ClaimKind::Held).await.unwrap();
    let seat = world.store.seat().await.unwrap().unwrap();
    let is_ours = |text: &String| text.parse().is_ok_and(|claim: Claim| claim.is_of(&seat));
    assert!(claims.len() == 1 && is_ours(&claims[0]), "{claims:?}");
    put().await;
    let refused = examine(&ports, Some(&written)).await;
    assert!(refused.err().is_some_and(is_foreign));
}

#[tokio::test]
async fn an_altered_row_is_found_when_the_state_is_opened() {
    let (world, leader, _) = World::new().await;
    drop(leader);
    let world = world.reopened().await;
    let ports = world.ports(Arc::clone(&world.hsm) as _);
    let mut database = world.database().await;
    let change = "UPDATE deployment SET clock_lag_ms = 7";
    sqlx::raw_sql(change).execute(&mut database).await.unwrap();
    database.close().await.unwrap();
    let opened = Opened::open(Reader::of(&ports)).await;
    let altered = |error| matches!(error, BatchError::Halt(Halt::Altered(_)));
    assert!(opened.err().is_some_and(altered));
}
