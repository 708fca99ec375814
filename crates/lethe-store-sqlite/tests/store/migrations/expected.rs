//! What the store must say of the rows of [`rows`](super::rows), now that its schema is the newest.

use std::time::Duration;

use lethe_core::approval::{
    Action, Approval, ApprovalId, ApprovalState, Decision, End, Pool, Principal, Scope,
    ShredWindow, Void,
};
use lethe_core::clock::{BootPoint, Mark};
use lethe_core::duration::Span;
use lethe_core::erasure::{
    AcceptedErasure, Erasure, ErasureKind, ErasureNumber, IdempotencyTag, ShredLeaf,
};
use lethe_core::grid::Generation;
use lethe_core::identity::{ClaimNonce, DeploymentId, HsmKeyId, KeyspaceId, StoreId};
use lethe_core::keyspace::{KeyVersion, Policy};
use lethe_core::ports::{
    BatchRow, ExpiryRow, Fulfilled, HsmMove, KeyspaceRow, Seat, SignedDestruction, SigningPurpose,
    VerificationKey, VersionRow,
};
use lethe_core::receipt::{Commitment, ErasureId};
use lethe_core::succession::{PublishedKey, Succession};
use lethe_core::time::{Expiry, Timestamp};
use lethe_core::tree::{Address, TreeId};
use lethe_testkit::store_contract::{keyspace, policy};

pub(crate) const DEPLOYMENT: DeploymentId = DeploymentId::from_bytes([0xde; 16]);
pub(crate) const NO_TIME: Timestamp = Timestamp::from_millis(0);
const CHAT: KeyspaceId = KeyspaceId::from_bytes([1; 16]);
const MAIL: KeyspaceId = KeyspaceId::from_bytes([2; 16]);
const GONE: KeyspaceId = KeyspaceId::from_bytes([3; 16]);

pub(crate) fn version(number: u32) -> KeyVersion {
    KeyVersion::new(number).unwrap()
}

fn key(byte: u8) -> HsmKeyId {
    HsmKeyId::from_bytes([byte; 16])
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn keyspaces(schema: i64) -> Vec<KeyspaceRow> {
    let versions = |rows: &[(u32, u64)]| {
        let row = |&(number, created): &(u32, u64)| VersionRow {
            version: version(number),
            created_at: at(created),
        };
        rows.iter().map(row).collect()
    };
    let alone = |policy: Policy| policy.with_shorter_retentions(&[]).unwrap();
    let offering = keyspace(1, "chat").policy;
    let chat = KeyspaceRow {
        policy: if schema >= 13 {
            offering
        } else {
            alone(offering)
        },
        leases_until: if schema >= 3 { at(9_000) } else { NO_TIME },
        expiries_until: if schema >= 4 { at(12_000) } else { NO_TIME },
        minimum_version: version(if schema >= 4 { 2 } else { 1 }),
        versions: versions(&[(1, 1_500), (2, 2_500)]),
        ..keyspace(1, "chat")
    };
    let mail = KeyspaceRow {
        policy: alone(policy(10)),
        versions: versions(&[(7, 3_500)]),
        ..keyspace(2, "mail")
    };
    vec![chat, mail]
}

pub(crate) fn mark(schema: i64) -> Mark {
    let boot = BootPoint {
        id: [0xb0; 16],
        since_boot: Duration::from_millis(4_000),
    };
    Mark {
        high_water: Some(Timestamp::from_millis(1_000_000)),
        lag: Duration::from_millis(if schema >= 5 { 250 } else { 0 }),
        boot: (schema >= 11).then_some(boot),
        gained: Duration::from_millis(if schema >= 11 { 30 } else { 0 }),
    }
}

/// The trees that live, in the order of their numbers.
pub(crate) fn trees() -> [TreeId; 3] {
    [(CHAT, 1), (CHAT, 2), (MAIL, 7)].map(|(keyspace, number)| TreeId {
        keyspace,
        version: version(number),
    })
}

fn shred(byte: u8) -> ErasureKind {
    let byte_16 = u16::from_be_bytes([byte; 2]);
    let leaf = ShredLeaf {
        version: version(u32::from_be_bytes([byte; 4])),
        generation: Generation::new(byte_16),
        address: Address::from_bits(u64::from_be_bytes([byte; 8])),
    };
    ErasureKind::Shred {
        tag: IdempotencyTag::from_bytes([byte; 16]),
        commitment: Commitment::from_bytes([byte; 32]),
        leaves: vec![leaf; 2],
    }
}

fn erase(name: &str) -> ErasureKind {
    ErasureKind::EraseKeyspace(name.parse().unwrap())
}

/// Accepted, in order.
pub(crate) fn erasures() -> Vec<AcceptedErasure> {
    let erasure = |number: u8, keyspace, kind| AcceptedErasure {
        number: ErasureNumber::new(number.into()),
        erasure: Erasure {
            id: ErasureId::from_bytes([number; 16]),
            keyspace,
            accepted_at: at(1_000 + u64::from(number)),
            leases_end_at: at(2_000 + u64::from(number)),
            kind,
        },
    };
    vec![
        erasure(11, CHAT, shred(11)),
        erasure(12, GONE, erase("gone")),
        erasure(13, CHAT, ErasureKind::DropVersion(version(1))),
        erasure(14, CHAT, shred(14)),
    ]
}

fn destruction(millis: u64, destroyed: Vec<HsmKeyId>) -> SignedDestruction {
    SignedDestruction {
        destroyed_at: at(millis),
        destroyed,
        signing_key: key(9),
        signature: [8; 64],
    }
}

/// The first is signed, the second is not.
pub(crate) fn batches() -> [BatchRow; 2] {
    let batch = |sequence, first, last, root| BatchRow {
        sequence,
        fulfilled: Fulfilled {
            first: ErasureNumber::new(first),
            last: ErasureNumber::new(last),
            replaced_root: key(root),
        },
        signed: None,
    };
    let signed = BatchRow {
        signed: Some(destruction(3_004, vec![key(0x41); 2])),
        ..batch(4, 11, 12, 0x40)
    };
    [signed, batch(5, 13, 13, 0x42)]
}

pub(crate) fn expiries() -> Vec<ExpiryRow> {
    vec![ExpiryRow {
        expiry: Expiry::from_seconds(30),
        signed: destruction(3_030, vec![key(30)]),
    }]
}

/// Who decided is there where somebody did.
fn approval(byte: u8, action: Action, state: ApprovalState) -> Approval {
    let scope = |id, name: &str| Scope {
        id,
        name: name.parse().unwrap(),
    };
    let principal = |does, key| Principal {
        client: format!("spiffe://{does}/{byte}").into(),
        key: [key; 32],
    };
    let decision = Decision {
        by: principal("agrees", byte + 100),
        at: at(1_500 + u64::from(byte)),
    };
    let nobody = matches!(
        state,
        ApprovalState::Waiting | ApprovalState::Ended(End::Expired | End::Void(Void::AskerGone))
    );
    Approval {
        id: ApprovalId::from_bytes([byte; 16]),
        action,
        scope: match action {
            Action::ConfirmClock | Action::MoveHsm => None,
            Action::EraseKeyspace => Some(scope(MAIL, "mail")),
            _ => Some(scope(CHAT, "chat")),
        },
        asked_by: principal("asks", byte),
        asked_at: at(1_000 + u64::from(byte)),
        expires_at: at(2_000 + u64::from(byte)),
        reason: None,
        digest: None,
        state,
        decision: (!nobody).then_some(decision),
    }
}

/// With the erasures that they would accept, or did, in order. What waited under an earlier schema has
/// to be asked for again, and its erasures are there until that is on record.
pub(crate) fn approvals(schema: i64) -> Vec<(Approval, Vec<Erasure>)> {
    let expired = ApprovalState::Ended(End::Expired);
    let outdated = ApprovalState::Ended(End::Void(Void::Outdated));
    let shreds = |conversations| Action::Shred {
        conversations,
        single: conversations == 1,
    };
    let waits = |number, keyspace, kind| Erasure {
        id: ErasureId::from_bytes([number; 16]),
        keyspace,
        accepted_at: NO_TIME,
        leases_end_at: NO_TIME,
        kind,
    };
    let drop = ErasureKind::DropVersion(version(1));
    let drops = Action::DropVersion(version(1));
    let of_two = vec![waits(52, CHAT, shred(52)), waits(51, CHAT, shred(51))];
    let of_mail = vec![waits(53, MAIL, erase("mail"))];
    let of_one = vec![waits(55, CHAT, shred(55))];
    let first = [
        (approval(31, shreds(2), expired), of_two),
        (approval(32, Action::EraseKeyspace, expired), of_mail),
        (approval(33, drops, expired), vec![waits(54, CHAT, drop)]),
        (approval(34, shreds(1), ApprovalState::Approved), of_one),
        (approval(35, drops, expired), vec![]),
        (approval(36, Action::EraseKeyspace, outdated), vec![]),
    ];
    let minimum = Action::SetMinimum(version(2));
    let withdrawn = ApprovalState::Ended(End::Withdrawn);
    let settings = Action::SetPolicy {
        from: policy(72)
            .with_shorter_retentions(&[Span::from_seconds(3_600)])
            .unwrap(),
        to: policy(10),
    };
    let waiting = Approval {
        reason: Some("why".into()),
        digest: Some([40; 32]),
        ..approval(40, settings, ApprovalState::Waiting)
    };
    let asker_gone = ApprovalState::Ended(End::Void(Void::AskerGone));
    let later = [
        (9, approval(37, minimum, withdrawn)),
        (10, waiting),
        (
            10,
            approval(41, Action::ConfirmClock, ApprovalState::Approved),
        ),
        (10, approval(42, Action::MoveHsm, asker_gone)),
    ];
    let first = first.into_iter().filter(|_| schema >= 6);
    let later = later.into_iter().filter(|(since, _)| schema >= *since);
    let later = later.map(|(_, approval)| (approval, vec![]));
    first.chain(later).collect()
}

pub(crate) fn signing_keys() -> Vec<PublishedKey> {
    let published = |byte, succession| PublishedKey {
        key: VerificationKey {
            id: key(byte),
            purpose: SigningPurpose::Receipt,
            public_key: [byte; 32],
        },
        succession,
    };
    let succession = Succession {
        predecessor: key(9),
        endorsement: [7; 64],
    };
    vec![published(9, None), published(6, Some(succession))]
}

pub(crate) const SEAT: Seat = Seat {
    store: StoreId::from_bytes([0x51; 16]),
    nonce: ClaimNonce::from_bytes([0x52; 16]),
    next: Some(ClaimNonce::from_bytes([0x53; 16])),
};

pub(crate) const HSM_MOVE: HsmMove = HsmMove::Emptied;

/// Of all message servers, of each client, and of a keyspace.
pub(crate) fn shred_windows() -> [ShredWindow; 5] {
    let (servers, operators) = (Pool::MessageServers, Pool::Operators);
    [
        ShredWindow::Pool(servers),
        ShredWindow::Client(servers, "spiffe://asks/1".into()),
        ShredWindow::Client(servers, "spiffe://asks/2".into()),
        ShredWindow::Keyspace(servers, CHAT),
        ShredWindow::Client(operators, "spiffe://asks/1".into()),
    ]
}

pub(crate) fn shred_sums(schema: i64) -> Vec<u64> {
    match schema {
        ..10 => vec![0; 5],
        10..15 => vec![7, 3, 4, 7, 0],
        _ => vec![7, 3, 4, 7, 5],
    }
}
