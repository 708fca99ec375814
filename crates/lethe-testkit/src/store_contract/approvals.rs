//! What waits for a second operator.

use lethe_core::approval::{Act, Approval, ApprovalId, ApprovalState, SecondWord, Voice};
use lethe_core::identity::KeyspaceId;
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::{ApprovalStore, Asking, Room, Store};
use lethe_core::receipt::RequestId;
use lethe_core::request::{Request, RequestNumber, Wish};
use lethe_core::time::Timestamp;

use super::Fixture;
use super::requests::{request, shred};

const ROOM: Room = Room {
    all: 4,
    of_client: 2,
};

const ROOMY: Room = Room {
    all: 99,
    of_client: 99,
};

fn voice(byte: u8) -> Voice {
    Voice {
        client: format!("spiffe://test/{byte}").into(),
        key: [byte; 32],
    }
}

fn second(byte: u8) -> SecondWord {
    SecondWord {
        by: voice(byte),
        at: Timestamp::from_millis(9_000),
    }
}

fn id(byte: u8) -> ApprovalId {
    ApprovalId::from_bytes([byte; 16])
}

fn approval(byte: u8, act: Act) -> Approval {
    Approval {
        id: id(byte),
        act,
        keyspace: KeyspaceId::from_bytes([1; 16]),
        keyspace_name: "chat".parse().expect("a name"),
        asked_by: voice(byte),
        asked_at: Timestamp::from_millis(1_000 + u64::from(byte)),
        expires_at: Timestamp::from_millis(2_000),
        state: ApprovalState::Waiting,
        second: None,
    }
}

fn shreds(byte: u8, conversations: u32) -> Approval {
    let alone = conversations == 1;
    approval(
        byte,
        Act::Shred {
            conversations,
            alone,
        },
    )
}

/// As they wait: without times.
fn waiting(requests: &[Request]) -> Vec<Request> {
    let bare = |request: &Request| Request {
        accepted_at: Timestamp::from_millis(0),
        leases_end_at: Timestamp::from_millis(0),
        ..request.clone()
    };
    requests.iter().map(bare).collect()
}

/// Every kind comes back whole, with its requests in order, also after a restart.
pub async fn approvals_come_back_whole(mut fixture: impl Fixture) {
    let store = fixture.store();
    let many: Vec<Request> = (1..=200).map(shred).collect();
    let erase = Wish::EraseKeyspace("chat".parse().expect("a name"));
    let all = [
        (shreds(1, 200), many),
        (approval(2, Act::EraseKeyspace), vec![request(2, erase)]),
        (
            approval(3, Act::DropVersion(KeyVersion::FIRST)),
            vec![request(3, Wish::DropVersion(KeyVersion::FIRST))],
        ),
        (approval(4, Act::RaiseMinimum(KeyVersion::FIRST)), vec![]),
    ];
    for (approval, requests) in &all {
        let asked = store.ask_approval(approval, requests, ROOM).await;
        assert_eq!(asked, Ok(Asking::Waits));
    }
    let refused = store.ask_approval(&shreds(5, 1), &[shred(5)], ROOM).await;
    assert_eq!(refused, Ok(Asking::Full));
    drop(store);
    fixture.reopen().await;
    let store = fixture.store();
    for (approval, requests) in &all {
        assert_eq!(
            store.approval(approval.id).await,
            Ok(Some(approval.clone()))
        );
        let kept = store.approval_requests(approval.id).await;
        assert_eq!(kept, Ok(waiting(requests)));
    }
    assert_eq!(store.approval(id(5)).await, Ok(None));
    assert_eq!(store.approval_requests(id(5)).await, Ok(vec![]));
    let page = async |after, limit| {
        let page = store.approvals(ApprovalState::Waiting, after, limit).await;
        page.expect("approvals")
            .iter()
            .map(|it| it.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(page(ApprovalId::FIRST, 2).await, [id(1), id(2)]);
    assert_eq!(page(id(2), 2).await, [id(3), id(4)]);
    // None of it is accepted.
    assert_eq!(store.open_requests().await, Ok(vec![]));
}

/// One step at a time, each from where it stands; what is over is found by nobody who asks again.
pub async fn approvals_advance_once(fixture: impl Fixture) {
    use ApprovalState::{Done, Expired, Given, Void, Waiting, Withdrawn};
    let store = fixture.store();
    for byte in 1..=5 {
        let requests = [shred(byte), shred(100)];
        let asked = store.ask_approval(&shreds(byte, 2), &requests, ROOMY).await;
        assert_eq!(asked, Ok(Asking::Waits));
    }
    let request = |byte| RequestId::from_bytes([byte; 16]);
    let found = async |bytes: &[u8]| {
        let ids: Vec<RequestId> = bytes.iter().copied().map(request).collect();
        let mut found = store.waiting_requests(&ids).await.expect("requests");
        found.sort_unstable();
        found
    };
    assert_eq!(
        found(&[1, 100, 77]).await,
        [(request(1), id(1)), (request(100), id(5))]
    );
    let advance = async |byte, from, to, second: Option<&SecondWord>| {
        let advanced = store.advance_approval(id(byte), from, to, second).await;
        advanced.expect("a store")
    };
    assert!(advance(1, Waiting, Given, Some(&second(7))).await);
    assert!(!advance(1, Waiting, Given, Some(&second(8))).await);
    assert!(!advance(1, Waiting, Expired, None).await);
    assert!(advance(1, Given, Done, None).await);
    assert!(!advance(1, Given, Void, None).await);
    assert!(advance(2, Waiting, Expired, None).await);
    assert!(!advance(2, Waiting, Given, Some(&second(8))).await);
    assert!(advance(3, Waiting, Given, Some(&second(8))).await);
    assert!(advance(3, Given, Void, None).await);
    assert!(advance(4, Waiting, Void, None).await);
    assert!(!advance(4, Waiting, Withdrawn, Some(&second(8))).await);
    assert!(advance(5, Waiting, Withdrawn, Some(&second(9))).await);
    assert!(!advance(5, Waiting, Given, Some(&second(8))).await);
    assert!(!advance(9, Waiting, Expired, None).await);
    let ends = [
        (1, Done, Some(7)),
        (2, Expired, None),
        (3, Void, Some(8)),
        (4, Void, None),
        (5, Withdrawn, Some(9)),
    ];
    for (byte, state, by) in ends {
        let expected = Approval {
            state,
            second: by.map(second),
            ..shreds(byte, 2)
        };
        assert_eq!(store.approval(id(byte)).await, Ok(Some(expected.clone())));
        let listed = store.approvals(state, ApprovalId::FIRST, 9).await;
        assert!(listed.expect("approvals").contains(&expected));
    }
    assert_eq!(found(&[1, 2, 3, 4, 5, 100]).await, []);
    let kept = store.approval_requests(id(1)).await;
    assert_eq!(kept, Ok(waiting(&[shred(1), shred(100)])));
    for byte in 2..=5 {
        assert_eq!(store.approval_requests(id(byte)).await, Ok(vec![]));
    }
}

/// One client cannot take all the room, and has it again when something of it is over.
pub async fn a_client_has_its_share_of_approvals(fixture: impl Fixture) {
    let store = fixture.store();
    let of = |byte, client| Approval {
        asked_by: voice(client),
        ..shreds(byte, 1)
    };
    let ask = async |byte, client| {
        let asked = store
            .ask_approval(&of(byte, client), &[shred(byte)], ROOM)
            .await;
        asked.expect("a store")
    };
    assert_eq!(ask(1, 7).await, Asking::Waits);
    assert_eq!(ask(2, 7).await, Asking::Waits);
    assert_eq!(ask(3, 7).await, Asking::ClientFull);
    assert_eq!(store.approval(id(3)).await, Ok(None));
    assert_eq!(ask(3, 8).await, Asking::Waits);
    assert_eq!(ask(5, 8).await, Asking::Waits);
    assert_eq!(ask(4, 9).await, Asking::Full);
    let (from, to) = (ApprovalState::Waiting, ApprovalState::Withdrawn);
    let word = second(7);
    let withdrawn = store.advance_approval(id(1), from, to, Some(&word));
    assert_eq!(withdrawn.await, Ok(true));
    assert_eq!(ask(4, 7).await, Asking::Waits);
}

/// What is over goes when it is old; what waits stays, however old.
pub async fn old_approvals_are_forgotten(fixture: impl Fixture) {
    let store = fixture.store();
    for byte in 1..=30 {
        let asked = store
            .ask_approval(&shreds(byte, 1), &[shred(byte)], ROOMY)
            .await;
        assert_eq!(asked, Ok(Asking::Waits));
        if byte != 5 {
            let (from, to) = (ApprovalState::Waiting, ApprovalState::Expired);
            let advanced = store.advance_approval(id(byte), from, to, None).await;
            assert_eq!(advanced, Ok(true));
        }
    }
    let before = Timestamp::from_millis(1_029);
    while store.forget_approvals(before).await.expect("forgotten") {}
    for (byte, kept) in [(1, false), (5, true), (28, false), (29, true), (30, true)] {
        let found = store.approval(id(byte)).await.expect("one or none");
        assert_eq!(found.is_some(), kept, "{byte}");
    }
}

/// The times of shreds alone, newest first.
pub async fn newest_shreds_are_found(fixture: impl Fixture) {
    let store = fixture.store();
    assert_eq!(store.newest_shreds(5).await, Ok(vec![]));
    let drop = request(2, Wish::DropVersion(KeyVersion::FIRST));
    let all = [shred(1), drop, shred(3), shred(4)];
    assert_eq!(store.accept(&all).await, Ok(RequestNumber::new(1)));
    let times = [1_004, 1_003].map(Timestamp::from_millis);
    assert_eq!(store.newest_shreds(2).await, Ok(times.to_vec()));
}
