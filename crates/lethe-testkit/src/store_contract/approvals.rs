//! The store of approvals.

use std::time::Duration;

use lethe_core::approval::{
    Action, Approval, ApprovalDecision, ApprovalId, ApprovalState, Decision, End, Principal, Scope,
    Void,
};
use lethe_core::clock::Mark;
use lethe_core::erasure::{Erasure, ErasureKind, ErasureNumber};
use lethe_core::identity::KeyspaceId;
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::{
    ApprovalStore, BatchCommit, BatchStore, Capacity, ClockStore, Effect, Enqueued, ErasureStore,
    KeyspaceChange, KeyspaceRow, KeyspaceStore, StoreError,
};
use lethe_core::receipt::ErasureId;
use lethe_core::time::Timestamp;

use super::erasures::{erasure, shred};
use super::{Fixture, batch, create, keyspace, policy};

const ROOM: Capacity = Capacity {
    all: 7,
    of_client: 2,
};

const ROOMY: Capacity = Capacity {
    all: 99,
    of_client: 99,
};

fn principal(byte: u8) -> Principal {
    Principal {
        client: format!("spiffe://test/{byte}").into(),
        key: [byte; 32],
    }
}

fn decision(byte: u8) -> Decision {
    Decision {
        by: principal(byte),
        at: Timestamp::from_millis(9_000),
    }
}

fn id(byte: u8) -> ApprovalId {
    ApprovalId::from_bytes([byte; 16])
}

fn approved_by(approval: u8, by: u8) -> ApprovalDecision {
    ApprovalDecision {
        id: id(approval),
        decision: decision(by),
    }
}

fn approval(byte: u8, action: Action) -> Approval {
    let scope = Scope {
        id: KeyspaceId::from_bytes([1; 16]),
        name: "chat".parse().expect("a name"),
    };
    let of_all = matches!(action, Action::ConfirmClock | Action::MoveHsm);
    Approval {
        id: id(byte),
        action,
        scope: (!of_all).then_some(scope),
        asked_by: principal(byte),
        asked_at: Timestamp::from_millis(1_000 + u64::from(byte)),
        expires_at: Timestamp::from_millis(2_000),
        reason: byte.is_multiple_of(2).then(|| "ticket 7".into()),
        digest: (!byte.is_multiple_of(2)).then_some([byte; 32]),
        state: ApprovalState::Waiting,
        decision: None,
    }
}

fn shreds(byte: u8, conversations: u32) -> Approval {
    let single = conversations == 1;
    approval(
        byte,
        Action::Shred {
            conversations,
            single,
        },
    )
}

/// As the store returns erasures that wait: without times.
fn waiting(erasures: &[Erasure]) -> Vec<Erasure> {
    let bare = |erasure: &Erasure| Erasure {
        accepted_at: Timestamp::from_millis(0),
        leases_end_at: Timestamp::from_millis(0),
        ..erasure.clone()
    };
    erasures.iter().map(bare).collect()
}

/// Every kind comes back whole, with its erasures in order, also after a restart.
pub async fn approvals_come_back_whole(mut fixture: impl Fixture) {
    let store = fixture.store();
    let many: Vec<Erasure> = (1..=200).map(shred).collect();
    let erase = ErasureKind::EraseKeyspace("chat".parse().expect("a name"));
    let settings = Action::SetPolicy {
        from: policy(72),
        to: policy(100),
    };
    let all = [
        (shreds(1, 200), many),
        (approval(2, Action::EraseKeyspace), vec![erasure(2, erase)]),
        (
            approval(3, Action::DropVersion(KeyVersion::FIRST)),
            vec![erasure(3, ErasureKind::DropVersion(KeyVersion::FIRST))],
        ),
        (approval(4, Action::SetMinimum(KeyVersion::FIRST)), vec![]),
        (approval(5, settings), vec![]),
        (approval(6, Action::ConfirmClock), vec![]),
        (approval(7, Action::MoveHsm), vec![]),
    ];
    for (approval, erasures) in &all {
        let asked = store.ask_approval(approval, erasures, ROOM).await;
        assert_eq!(asked, Ok(Enqueued::Waiting));
    }
    let refused = store.ask_approval(&shreds(8, 1), &[shred(8)], ROOM).await;
    assert_eq!(refused, Ok(Enqueued::Full));
    drop(store);
    fixture.reopen().await;
    let store = fixture.store();
    for (approval, erasures) in &all {
        assert_eq!(
            store.approval(approval.id).await,
            Ok(Some(approval.clone()))
        );
        let kept = store.approval_erasures(approval.id).await;
        assert_eq!(kept, Ok(waiting(erasures)));
    }
    assert_eq!(store.approval(id(8)).await, Ok(None));
    assert_eq!(store.approval_erasures(id(8)).await, Ok(vec![]));
    let page = async |after, limit| {
        let page = store.waiting_approvals(after, limit).await;
        page.expect("approvals")
            .iter()
            .map(|it| it.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(page(ApprovalId::FIRST, 2).await, [id(1), id(2)]);
    assert_eq!(page(id(2), 2).await, [id(3), id(4)]);
    // None of it is accepted.
    assert_eq!(store.open_erasures(ErasureNumber::new(0)).await, Ok(vec![]));
}

/// An approval changes its state once. One that ended is not found by a call that asks again, and keeps its
/// erasures until it is recorded.
pub async fn approvals_change_once(fixture: impl Fixture) {
    let store = fixture.store();
    for byte in 1..=5 {
        let erasures = [shred(byte), shred(100 + byte)];
        let asked = store.ask_approval(&shreds(byte, 2), &erasures, ROOMY).await;
        assert_eq!(asked, Ok(Enqueued::Waiting));
    }
    let found = async |bytes: &[u8]| {
        let ids = bytes.iter().map(|byte| ErasureId::from_bytes([*byte; 16]));
        let ids: Vec<ErasureId> = ids.collect();
        let mut found = store.waiting_erasures(&ids).await.expect("requests");
        found.sort_unstable();
        found
    };
    let erasure = |byte| ErasureId::from_bytes([byte; 16]);
    assert_eq!(
        found(&[1, 105, 77]).await,
        [(erasure(1), id(1)), (erasure(105), id(5))]
    );
    let at = Timestamp::from_millis(9_000);
    let end = async |byte, end, by: Option<Decision>| {
        let ended = store.end_approval(id(byte), end, at, by.as_ref()).await;
        ended.expect("a store")
    };
    let approve = async |byte, by| {
        let erasures = [shred(byte)];
        let effect = Effect::Erasures(&erasures);
        store.approve(&approved_by(byte, by), effect).await
    };
    assert_eq!(approve(1, 7).await, Ok(Some(ErasureNumber::new(1))));
    assert_eq!(approve(1, 8).await, Ok(None));
    assert!(!end(1, End::Expired, None).await);
    assert!(end(2, End::Expired, None).await);
    assert_eq!(approve(2, 8).await, Ok(None));
    assert!(end(3, End::Void(Void::AskerGone), None).await);
    assert!(!end(3, End::Withdrawn, Some(decision(8))).await);
    assert!(end(4, End::Void(Void::KeyspaceGone), None).await);
    assert!(end(5, End::Withdrawn, Some(decision(9))).await);
    assert_eq!(approve(5, 8).await, Ok(None));
    assert_eq!(approve(9, 8).await, Ok(None));
    // Only the approved one has accepted an erasure.
    let open = store
        .open_erasures(ErasureNumber::new(0))
        .await
        .expect("requests");
    assert_eq!(open.len(), 1);
    let ends = [
        (1, ApprovalState::Approved, Some(7)),
        (2, ApprovalState::Ended(End::Expired), None),
        (3, ApprovalState::Ended(End::Void(Void::AskerGone)), None),
        (4, ApprovalState::Ended(End::Void(Void::KeyspaceGone)), None),
        (5, ApprovalState::Ended(End::Withdrawn), Some(9)),
    ];
    let mut expected = Vec::new();
    for (byte, state, by) in ends {
        let approval = Approval {
            state,
            decision: by.map(decision),
            ..shreds(byte, 2)
        };
        assert_eq!(store.approval(id(byte)).await, Ok(Some(approval.clone())));
        expected.push(approval);
    }
    assert_eq!(found(&[1, 2, 3, 4, 5]).await, []);
    assert_eq!(
        store.waiting_approvals(ApprovalId::FIRST, 9).await,
        Ok(vec![])
    );
    let unrecorded = async |millis| {
        let before = Timestamp::from_millis(millis);
        let unrecorded = store.unrecorded_approvals(before, 9).await;
        unrecorded.expect("approvals")
    };
    assert_eq!(unrecorded(9_000).await, []);
    assert_eq!(unrecorded(9_001).await, expected);
    for byte in 1..=5 {
        let kept = store.approval_erasures(id(byte)).await;
        assert_eq!(kept, Ok(waiting(&[shred(byte), shred(100 + byte)])));
        assert_eq!(store.approval_is_recorded(id(byte)).await, Ok(()));
    }
    assert_eq!(unrecorded(9_001).await, []);
    let kept = store.approval_erasures(id(1)).await;
    assert_eq!(kept, Ok(waiting(&[shred(1), shred(101)])));
    for byte in 2..=5 {
        assert_eq!(store.approval_erasures(id(byte)).await, Ok(vec![]));
    }
}

/// An approval and its effect are one transaction.
pub async fn an_approval_and_what_it_does_are_one(fixture: impl Fixture) {
    let store = fixture.store();
    let chat = keyspace(1, "chat");
    assert_eq!(create(store.as_ref(), 1, &chat).await, Ok(()));
    let settings = Action::SetPolicy {
        from: policy(72),
        to: policy(100),
    };
    let all = [
        shreds(1, 1),
        approval(2, settings),
        approval(3, Action::ConfirmClock),
    ];
    for approval in &all {
        let asked = store.ask_approval(approval, &[], ROOMY).await;
        assert_eq!(asked, Ok(Enqueued::Waiting));
    }
    // The id of an erasure is taken: nothing is accepted, and nothing approved.
    assert_eq!(store.accept(&[shred(1)]).await, Ok(ErasureNumber::new(1)));
    let erasures = [shred(2), shred(1)];
    let effect = Effect::Erasures(&erasures);
    assert!(store.approve(&approved_by(1, 7), effect).await.is_err());
    let settings = |row: KeyspaceRow| {
        let row = KeyspaceRow {
            policy: policy(100),
            ..row
        };
        BatchCommit {
            approved: Some(approved_by(2, 7)),
            ..batch(2, vec![KeyspaceChange::Replace(row)])
        }
    };
    let none = settings(keyspace(9, "chat"));
    assert!(store.commit_batch(&none).await.is_err());
    for approval in &all {
        let kept = store.approval(approval.id).await;
        assert_eq!(kept, Ok(Some(approval.clone())));
    }
    let open = store
        .open_erasures(ErasureNumber::new(0))
        .await
        .expect("requests");
    assert_eq!(open.len(), 1);
    assert_eq!(store.commit_batch(&settings(chat.clone())).await, Ok(()));
    // It is approved already: a second batch with it changes nothing.
    let again = BatchCommit {
        approved: Some(approved_by(2, 8)),
        ..batch(3, vec![KeyspaceChange::Replace(chat)])
    };
    let again = store.commit_batch(&again).await;
    assert_eq!(again, Err(StoreError::NotWaiting));
    let meta = store.meta().await.expect("meta");
    assert_eq!(meta.map(|it| it.sequence), Some(2));
    let decided = store.approval(id(2)).await.expect("approval");
    assert_eq!(decided.and_then(|it| it.decision), Some(decision(7)));
    let set = store.keyspaces().await.expect("keyspaces");
    assert_eq!(set[0].policy, policy(100));
    let confirmed = Mark {
        high_water: Some(Timestamp::from_millis(77_000)),
        lag: Duration::from_millis(9),
        ..Mark::default()
    };
    let effect = Effect::Clock(&confirmed);
    assert!(
        store
            .approve(&approved_by(3, 7), effect)
            .await
            .is_ok_and(|it| it.is_some())
    );
    assert_eq!(store.clock_mark().await, Ok(confirmed));
    let other = Mark {
        lag: Duration::from_millis(1),
        ..confirmed
    };
    let again = Effect::Clock(&other);
    assert_eq!(store.approve(&approved_by(3, 8), again).await, Ok(None));
    assert_eq!(store.clock_mark().await, Ok(confirmed));
}

/// A client has a limited share, and gets room again when one of its approvals ends.
pub async fn a_client_has_its_share_of_approvals(fixture: impl Fixture) {
    let store = fixture.store();
    let of = |byte, client| Approval {
        asked_by: principal(client),
        ..shreds(byte, 1)
    };
    let ask = async |byte, client| {
        let asked = store
            .ask_approval(&of(byte, client), &[shred(byte)], ROOM)
            .await;
        asked.expect("a store")
    };
    assert_eq!(ask(1, 7).await, Enqueued::Waiting);
    assert_eq!(ask(2, 7).await, Enqueued::Waiting);
    assert_eq!(ask(3, 7).await, Enqueued::ClientFull);
    assert_eq!(store.approval(id(3)).await, Ok(None));
    for byte in 10..15 {
        assert_eq!(ask(byte, byte).await, Enqueued::Waiting);
    }
    assert_eq!(ask(4, 9).await, Enqueued::Full);
    let (at, by) = (Timestamp::from_millis(1), decision(7));
    let withdrawn = store.end_approval(id(1), End::Withdrawn, at, Some(&by));
    assert_eq!(withdrawn.await, Ok(true));
    assert_eq!(ask(4, 7).await, Enqueued::Waiting);
}

/// Old approvals that do not wait are deleted; one that waits stays.
pub async fn old_approvals_are_forgotten(fixture: impl Fixture) {
    let store = fixture.store();
    for byte in 1..=30 {
        let asked = store
            .ask_approval(&shreds(byte, 1), &[shred(byte)], ROOMY)
            .await;
        assert_eq!(asked, Ok(Enqueued::Waiting));
        if byte != 5 {
            let at = Timestamp::from_millis(1);
            let ended = store.end_approval(id(byte), End::Expired, at, None).await;
            assert_eq!(ended, Ok(true));
        }
        // One that is not recorded stays.
        if byte != 5 && byte != 6 {
            assert_eq!(store.approval_is_recorded(id(byte)).await, Ok(()));
        }
    }
    let before = Timestamp::from_millis(1_029);
    while store.forget_approvals(before).await.expect("forgotten") {}
    for (byte, kept) in [
        (1, false),
        (5, true),
        (6, true),
        (28, false),
        (29, true),
        (30, true),
    ] {
        let found = store.approval(id(byte)).await.expect("one or none");
        assert_eq!(found.is_some(), kept, "{byte}");
    }
}
