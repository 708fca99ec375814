//! A database that an earlier release filled is opened as the newest: every row is still there and
//! means the same, and the newest rules hold for it.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

mod expected;
mod past;
mod rows;

use lethe_core::approval::{Act, Approval, ApprovalId, ApprovalState};
use lethe_core::ports::{ApprovalStore, Asking, Room, Store};
use lethe_core::request::{Request, RequestNumber};
use lethe_core::time::Expiry;
use lethe_core::tree::{Prefix, Row, TailId};
use lethe_store_sqlite::SqliteStore;
use lethe_testkit::store_contract::{batch, bucket};
use past::{Past, column, columns, contents, empty, indexes, run, schemas};

/// From the first schema that has approvals on.
const APPROVALS: i64 = 6;
/// Row ids of tails for each tree.
const TAILS: u64 = 1 << 40;

#[tokio::test]
async fn every_value_of_every_earlier_schema_is_kept() {
    for schema in schemas() {
        let past = Past::of(schema).await;
        let mut database = past.connect().await;
        let filled = columns(&mut database).await;
        let unfilled = empty(&mut database, &filled).await;
        assert!(unfilled.is_empty(), "{schema}: no value in {unfilled:?}");
        let before = contents(&mut database, &filled).await;
        let indexed = indexes(&mut database).await;

        past.open().await.close().await;
        let after = contents(&mut database, &filled).await;
        for (table, rows) in before {
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
        let store = Past::of(schema).await;
        let store = store.open().await;
        assert_eq!(store.deployment().await, Ok(Some(expected::DEPLOYMENT)));
        assert_eq!(
            store.clock_high_water().await,
            Ok(Some(expected::HIGH_WATER))
        );
        assert_eq!(store.clock_lag().await, Ok(expected::clock_lag(schema)));
        let keyspaces = store.keyspaces().await;
        assert_eq!(keyspaces, Ok(expected::keyspaces(schema)), "{schema}");
        assert_eq!(store.buckets().await, Ok(vec![bucket(60), bucket(120)]));
        let meta = (schema >= 2).then(|| batch(5, vec![]).meta);
        assert_eq!(store.meta().await, Ok(meta), "{schema}");
        trees_are_there(&store, schema).await;
        forgetting_is_there(&store, schema).await;
        approvals_are_there(&store, &expected::approvals(schema)).await;
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
    let (first, last) = (RequestNumber::new(1), RequestNumber::new(99));
    let found = store.requests(first, last).await;
    if schema < 3 {
        assert_eq!(found, Ok(vec![]));
        return;
    }
    let requests = expected::requests();
    assert_eq!(found, Ok(requests.clone()), "{schema}");
    assert_eq!(store.open_requests().await, Ok(requests[3..].to_vec()));
    let [signed, unsigned] = expected::batches();
    assert_eq!(store.batch_of(requests[1].number).await, Ok(Some(signed)));
    assert_eq!(store.unsigned_batches().await, Ok(vec![unsigned]));
    let expiries = store.expiries(Expiry::from_seconds(0), 9).await;
    assert_eq!(expiries, Ok(expected::expiries()), "{schema}");
    // A number is given once.
    let mut next = requests[3].request.clone();
    next.id = lethe_core::receipt::RequestId::from_bytes([15; 16]);
    assert_eq!(store.accept(&[next]).await, Ok(RequestNumber::new(15)));
}

async fn approvals_are_there(store: &SqliteStore, expected: &[(Approval, Vec<Request>)]) {
    use ApprovalState::{Done, Expired, Given, Void, Waiting, Withdrawn};
    let mut found = Vec::new();
    for state in [Waiting, Given, Done, Expired, Void, Withdrawn] {
        let of_state = store.approvals(state, ApprovalId::FIRST, 99).await;
        for approval in of_state.unwrap() {
            let requests = store.approval_requests(approval.id).await.unwrap();
            found.push((approval, requests));
        }
    }
    found.sort_by_key(|(approval, _)| approval.id);
    assert_eq!(found, expected);
    let waits = |(approval, _): &&(Approval, _)| approval.state == Waiting;
    for (approval, requests) in expected.iter().filter(waits) {
        for request in requests {
            let waiting = store.waiting_requests(&[request.id]).await;
            assert_eq!(waiting, Ok(vec![(request.id, approval.id)]));
        }
    }
}

#[tokio::test]
async fn what_waited_can_be_all_that_the_newest_schema_knows() {
    use ApprovalState::{Given, Void, Waiting, Withdrawn};
    for schema in schemas().into_iter().filter(|it| *it >= APPROVALS) {
        let past = Past::of(schema).await;
        let store = past.open().await;
        let kept = expected::approvals(schema);
        let (shreds, erase, given) = (&kept[0].0, &kept[1].0, &kept[2].0);
        let second = given.second.as_ref();
        for (approval, from, to, second) in [
            (shreds, Waiting, Withdrawn, second),
            (erase, Waiting, Void, None),
            (given, Given, Void, None),
        ] {
            let advanced = store.advance_approval(approval.id, from, to, second).await;
            assert_eq!(advanced, Ok(true), "{schema}: {from:?} to {to:?}");
            assert_eq!(store.approval_requests(approval.id).await, Ok(vec![]));
        }
        let raise = Approval {
            id: ApprovalId::from_bytes([38; 16]),
            act: Act::RaiseMinimum(expected::version(2)),
            ..erase.clone()
        };
        let (all, of_client) = (1, 1);
        let asked = store.ask_approval(&raise, &[], Room { all, of_client });
        assert_eq!(asked.await, Ok(Asking::Waits), "{schema}");
        assert_eq!(store.approval(raise.id).await, Ok(Some(raise)));
        store.close().await;
    }
}

#[tokio::test]
async fn what_no_release_writes_is_refused_after_a_migration() {
    for schema in schemas().into_iter().filter(|it| *it >= APPROVALS) {
        let past = Past::of(schema).await;
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
        (
            "state = 5, second_by = NULL, second_key = NULL, second_at_ms = NULL",
            "CHECK",
        ),
        (
            "state = 0, second_by = 'x', second_key = asked_key, second_at_ms = 1",
            "CHECK",
        ),
        ("second_key = x'01'", "CHECK"),
        ("kind = 5", "CHECK"),
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
