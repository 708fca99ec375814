//! Rows of the forgetting trees.

use lethe_core::identity::KeyspaceId;
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::{BatchCommit, BatchStore, KeyspaceChange, Store, TreeChange, TreeStore};
use lethe_core::tree::{Prefix, Row, SealedPage, SealedTail, TailId, TreeId};

use super::{Fixture, batch, create, keyspace};

const fn tree(keyspace: u8) -> TreeId {
    TreeId {
        keyspace: KeyspaceId::from_bytes([keyspace; 16]),
        version: KeyVersion::FIRST,
    }
}

fn prefix(slot: u64) -> Prefix {
    Prefix::new(slot << 58, 6).expect("a prefix of a page")
}

/// A change whose bytes follow from `byte`.
async fn change(
    store: &impl Store,
    tree: TreeId,
    pages: &[u64],
    tails: u64,
    byte: u8,
) -> TreeChange {
    let first = store.next_tail(tree).await.expect("a live tree");
    let page = |slot: &u64| SealedPage {
        prefix: prefix(*slot),
        bytes: vec![byte; 700],
    };
    let tail = |number| SealedTail {
        id: TailId::new(first.number() + number),
        prefix: prefix(number),
        bytes: vec![byte ^ 0xff; 1_300],
    };
    TreeChange {
        tree,
        pages: pages.iter().map(page).collect(),
        tails: (0..tails).map(tail).collect(),
        superseded: Vec::new(),
        next_tail: TailId::new(first.number() + tails),
    }
}

fn with(sequence: u64, trees: Vec<TreeChange>) -> BatchCommit {
    BatchCommit {
        trees,
        ..batch(sequence, vec![])
    }
}

/// Pages are replaced, tails appended, superseded ones go, ids are never given twice.
pub async fn tree_rows_come_back(fixture: impl Fixture) {
    let store = fixture.store();
    assert_eq!(create(&*store, 1, &keyspace(1, "chat")).await, Ok(()));
    let first = change(&*store, tree(1), &[0, 1, 63], 300, 7).await;
    let ids: Vec<TailId> = first.tails.iter().map(|tail| tail.id).collect();
    assert_eq!(store.commit_batch(&with(2, vec![first])).await, Ok(()));
    let mut second = change(&*store, tree(1), &[1, 2], 1, 9).await;
    assert!(second.tails[0].id > ids[299]);
    second.superseded = vec![ids[0], ids[299]];
    let new = second.tails[0].id;
    assert_eq!(store.commit_batch(&with(3, vec![second])).await, Ok(()));
    let wanted = [
        (prefix(2), Row::Page),
        (prefix(0), Row::Tail(ids[1])),
        (prefix(5), Row::Page),
        (prefix(1), Row::Page),
        (prefix(0), Row::Tail(ids[0])),
        (prefix(63), Row::Page),
        (prefix(0), Row::Tail(new)),
    ];
    let found = store.tree_rows(tree(1), &wanted).await;
    let found: Vec<_> = found
        .expect("rows")
        .into_iter()
        .map(|row| row.map(|it| it[0]))
        .collect();
    let expected = [
        Some(9),
        Some(7 ^ 0xff),
        None,
        Some(9),
        None,
        Some(7),
        Some(9 ^ 0xff),
    ];
    assert_eq!(found, expected);
}

/// A page is of its tree alone; a tree that is not there is a conflict and changes nothing.
pub async fn tree_rows_are_of_their_tree(fixture: impl Fixture) {
    let store = fixture.store();
    assert_eq!(create(&*store, 1, &keyspace(1, "a")).await, Ok(()));
    assert_eq!(create(&*store, 2, &keyspace(2, "b")).await, Ok(()));
    let of_first = change(&*store, tree(1), &[0], 1, 1).await;
    let of_second = change(&*store, tree(2), &[0], 1, 2).await;
    assert_ne!(of_first.tails[0].id, of_second.tails[0].id);
    let of_none = TreeChange {
        tree: tree(3),
        ..of_first.clone()
    };
    let both = vec![of_first.clone(), of_second];
    let mut all = both.clone();
    all.push(of_none);
    assert!(store.commit_batch(&with(3, all)).await.is_err());
    let page = [(prefix(0), Row::Page)];
    assert_eq!(store.tree_rows(tree(1), &page).await, Ok(vec![None]));
    assert_eq!(store.commit_batch(&with(3, both)).await, Ok(()));
    for byte in [1, 2] {
        let row = Some(vec![byte; 700]);
        assert_eq!(store.tree_rows(tree(byte), &page).await, Ok(vec![row]));
    }
}

/// The rows of a dropped tree are not found any more, and go bit by bit.
pub async fn dropped_trees_are_swept(fixture: impl Fixture) {
    let store = fixture.store();
    assert_eq!(create(&*store, 1, &keyspace(1, "chat")).await, Ok(()));
    assert_eq!(create(&*store, 2, &keyspace(2, "kept")).await, Ok(()));
    let dropped = change(&*store, tree(1), &[0], 2_500, 1).await;
    let kept = change(&*store, tree(2), &[0], 1, 2).await;
    let id = kept.tails[0].id;
    let changes = vec![dropped, kept];
    assert_eq!(store.commit_batch(&with(3, changes)).await, Ok(()));
    let drop = vec![KeyspaceChange::DropKeyspace(tree(1).keyspace)];
    assert_eq!(store.commit_batch(&batch(4, drop)).await, Ok(()));
    let page = [(prefix(0), Row::Page)];
    assert_eq!(store.tree_rows(tree(1), &page).await, Ok(vec![None]));
    assert!(store.next_tail(tree(1)).await.is_err());
    let mut rounds = 0;
    while store.sweep_dropped_trees().await.expect("swept") {
        rounds += 1;
        assert!(rounds < 100);
    }
    assert!(rounds > 2);
    let wanted = [(prefix(0), Row::Page), (prefix(0), Row::Tail(id))];
    let found = store.tree_rows(tree(2), &wanted).await.expect("rows");
    assert!(found.iter().all(Option::is_some));
}
