//! A database that an earlier release filled is opened as the newest: every row is still there and
//! means the same, and the newest rules hold for it.

mod expected;
mod past;
mod rows;

use lethe_core::approval::{Action, Approval, ApprovalId, ApprovalState};
use lethe_core::erasure::{Erasure, ErasureNumber};
use lethe_core::ports::{
    ApprovalStore, BatchStore, BucketStore, Capacity, ClockStore, DeploymentStore, Enqueued,
    ErasureStore, HsmMoveStore, KeyspaceStore, ReceiptStore, TreeStore,
};
use lethe_core::time::{Expiry, Timestamp};
use lethe_core::tree::{Prefix, Row, TailId};
use lethe_store_sqlite::SqliteStore;
use lethe_testkit::store_contract::{batch, bucket};
use past::{Past, column, columns, contents, empty, indexes, run, schemas};

/// From the first schema that has approvals on.
const APPROVALS: i64 = 6;
/// From this one on each of them changes once; what waited before has to be asked for again.
const APPROVALS_ONCE: i64 = 10;
/// From this one on the windows of shreds have rows of their own.
const SHRED_WINDOWS: i64 = 15;
/// Row ids of tails for each tree.
const TAILS: u64 = 1 << 40;

#[tokio::test]
async fn every_value_of_every_earlier_schema_is_kept() {
    for schema in schemas() {
        let past = Past::for_schema(schema).await;
        let mut database = past.connect().await;
        let filled = columns(&mut database).await;
        let unfilled = empty(&mut database, &filled).await;
        assert!(unfilled.is_empty(), "{schema}: no value in {unfilled:?}");
        let before = contents(&mut database, &filled).await;
        let indexed = indexes(&mut database).await;

        past.open().await.close().await;
        let after = contents(&mut database, &filled).await;
        for (table, rows) in before {
            if table == "shred_window" && schema < SHRED_WINDOWS {
                continue;
            }
            if table == "approval" && schema < APPROVALS_ONCE {
                assert_eq!(after[&table].len(), rows.len());
                continue;
            }
            assert_eq!(after[&table], rows, "{table} of schema {schema}");
        }
        let lost = &indexed - &indexes(&mut database).await;
        assert!(lost.is_empty(), "{schema}: without {lost:?}");
        let integrity = column(&mut database, "PRAGMA integrity_check".into()).await;
        assert_eq!(integrity, ["ok"], "{schema}");
        let dangling = column(&mut database, "PRAGMA foreign_key_check".into()).await;
        assert!(dangling.is_empty(), "{schema}: {dangling:?}");
    }
}

#[tokio::test]
async fn rows_of_every_earlier_schema_mean_the_same() {
    for schema in schemas() {
        let store = Past::for_schema(schema).await;
        let store = store.open().await;
        assert_eq!(store.deployment().await, Ok(Some(expected::DEPLOYMENT)));
        assert_eq!(store.clock_mark().await, Ok(expected::mark(schema)));
        let keyspaces = store.keyspaces().await;
        assert_eq!(keyspaces, Ok(expected::keyspaces(schema)), "{schema}");
        assert_eq!(store.buckets().await, Ok(vec![bucket(60), bucket(120)]));
        let meta = (schema >= 2).then(|| batch(5, vec![]).meta);
        assert_eq!(store.meta().await, Ok(meta), "{schema}");
        trees_are_there(&store, schema).await;
        forgetting_is_there(&store, schema).await;
        approvals_are_there(&store, &expected::approvals(schema)).await;
        let windows = expected::shred_windows();
        let sums = store.shred_sums(&windows, expected::NO_TIME).await;
        assert_eq!(sums, Ok(expected::shred_sums(schema)), "{schema}");
        let moved = schema >= 8;
        let keys = if moved {
            expected::signing_keys()
        } else {
            vec![]
        };
        assert_eq!(store.signing_keys().await, Ok(keys), "{schema}");
        let under_way = moved.then_some(expected::HSM_MOVE);
        assert_eq!(store.hsm_move().await, Ok(under_way), "{schema}");
        let seat = (schema >= 12).then_some(expected::SEAT);
        assert_eq!(store.seat().await, Ok(seat), "{schema}");
        store.close().await;
    }
}

/// Versions older than the trees have got one each.
async fn trees_are_there(store: &SqliteStore, schema: i64) {
    let with_rows = schema >= 3;
    for (number, tree) in (1..).zip(expected::trees()) {
        let used = if with_rows && number == 1 { 2 } else { 0 };
        let free = TailId::new(number * TAILS + used);
        assert_eq!(store.next_tail(tree).await, Ok(free), "{schema}");
    }
    let [first, ..] = expected::trees();
    let wanted = [
        (Prefix::TOP, Row::Page),
        (Prefix::TOP, Row::Tail(TailId::new(TAILS))),
    ];
    let rows = [vec![0x70; 700], vec![0x71; 300]].map(|row| with_rows.then_some(row));
    assert_eq!(store.tree_rows(first, &wanted).await, Ok(rows.to_vec()));
}

async fn forgetting_is_there(store: &SqliteStore, schema: i64) {
    let (first, last) = (ErasureNumber::new(1), ErasureNumber::new(99));
    let found = store.erasures(first, last).await;
    if schema < 3 {
        assert_eq!(found, Ok(vec![]));
        return;
    }
    let erasures = expected::erasures();
    assert_eq!(found, Ok(erasures.clone()), "{schema}");
    assert_eq!(
        store.open_erasures(erasures[2].number).await,
        Ok(erasures[3..].to_vec())
    );
    let [signed, unsigned] = expected::batches();
    assert_eq!(store.batch_of(erasures[1].number).await, Ok(Some(signed)));
    assert_eq!(store.unsigned_batches().await, Ok(vec![unsigned]));
    let expiries = store.expiries(Expiry::from_seconds(0), 9).await;
    assert_eq!(expiries, Ok(expected::expiries()), "{schema}");
    // A number is given once.
    let mut next = erasures[3].erasure.clone();
    next.id = lethe_core::receipt::ErasureId::from_bytes([15; 16]);
    assert_eq!(store.accept(&[next]).await, Ok(ErasureNumber::new(15)));
}

async fn approvals_are_there(store: &SqliteStore, expected: &[(Approval, Vec<Erasure>)]) {
    for (approval, erasures) in expected {
        let found = store.approval(approval.id).await;
        assert_eq!(found, Ok(Some(approval.clone())));
        let kept = store.approval_erasures(approval.id).await;
        assert_eq!(kept, Ok(erasures.clone()));
    }
    let in_state = |state: &dyn Fn(ApprovalState) -> bool| -> Vec<Approval> {
        let all = expected.iter().map(|(approval, _)| approval);
        all.filter(|it| state(it.state)).cloned().collect()
    };
    let waiting = store.waiting_approvals(ApprovalId::FIRST, 99).await;
    assert_eq!(waiting, Ok(in_state(&|it| it == ApprovalState::Waiting)));
    for (approval, erasures) in expected {
        let ids: Vec<_> = erasures.iter().map(|it| it.id).collect();
        let found = store.waiting_erasures(&ids).await.unwrap();
        assert!(found.is_empty(), "{:?}", approval.id);
    }
}

#[tokio::test]
async fn what_waited_ends_on_record_and_can_be_asked_for_again() {
    for schema in schemas().into_iter().filter(|it| *it >= APPROVALS) {
        let past = Past::for_schema(schema).await;
        let store = past.open().await;
        let later = Timestamp::from_millis(u64::from(u32::MAX));
        let mut unrecorded = store.unrecorded_approvals(later, 99).await.unwrap();
        unrecorded.sort_by_key(|it| it.id);
        let ids: Vec<u8> = unrecorded.iter().map(|it| it.id.as_bytes()[0]).collect();
        let new: &[u8] = if schema < APPROVALS_ONCE { &[] } else { &[41] };
        assert_eq!(ids, [&[31, 32, 33], new].concat(), "{schema}");
        for approval in unrecorded {
            assert_eq!(store.approval_is_recorded(approval.id).await, Ok(()));
        }
        let none = store.unrecorded_approvals(later, 99).await;
        assert_eq!(none, Ok(vec![]));
        let kept = expected::approvals(schema);
        let again = Approval {
            id: ApprovalId::from_bytes([38; 16]),
            action: Action::SetMinimum(expected::version(2)),
            state: ApprovalState::Waiting,
            ..kept[1].0.clone()
        };
        let (all, of_client) = (99, 99);
        let asked = store.ask_approval(&again, &[], Capacity { all, of_client });
        assert_eq!(asked.await, Ok(Enqueued::Waiting), "{schema}");
        assert_eq!(store.approval(again.id).await, Ok(Some(again)));
        store.close().await;
    }
}

#[tokio::test]
async fn what_no_release_writes_is_refused_after_a_migration() {
    for schema in schemas().into_iter().filter(|it| *it >= APPROVALS) {
        let past = Past::for_schema(schema).await;
        past.open().await.close().await;
        let mut database = past.connect().await;
        for (table, changes) in refused() {
            for (change, why) in changes {
                let change = format!("UPDATE {table} SET {change}");
                let refused = run(&mut database, change.clone()).await;
                let refused = refused.expect_err(&change).to_string();
                assert!(refused.contains(why), "{schema}: {change}: {refused}");
            }
        }
        let gone = "DELETE FROM approval".to_owned();
        run(&mut database, gone).await.unwrap();
        let left = "SELECT hex(id) FROM waiting_request".into();
        assert!(column(&mut database, left).await.is_empty(), "{schema}");
    }
}

/// Changes by table, and the kind of rule that each is against.
fn refused() -> [(&'static str, Vec<(&'static str, &'static str)>); 2] {
    let of_approvals = vec![
        ("state = 6", "CHECK"),
        ("state = 1", "CHECK"),
        ("state = 0, changed_at_ms = 1", "CHECK"),
        ("state = 4, changed_at_ms = 1, void_reason = NULL", "CHECK"),
        (
            "state = 5, second_by = NULL, second_key = NULL, second_at_ms = NULL",
            "CHECK",
        ),
        (
            "state = 0, second_by = 'x', second_key = asked_key, second_at_ms = 1",
            "CHECK",
        ),
        ("second_key = x'01'", "CHECK"),
        ("kind = 8", "CHECK"),
        (
            "kind = 4, version = NULL, conversations = NULL, alone = NULL",
            "CHECK",
        ),
        ("asked_by = NULL", "NOT NULL"),
        ("asked_at_ms = 'then'", "cannot store"),
    ];
    let of_their_requests = vec![
        ("approval_id = x'00' WHERE place = 1", "FOREIGN KEY"),
        ("leaves = x'00'", "CHECK"),
        ("place = 'first'", "cannot store"),
    ];
    [
        ("approval", of_approvals),
        ("waiting_request", of_their_requests),
    ]
}
