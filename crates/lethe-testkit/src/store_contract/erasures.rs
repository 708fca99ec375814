//! Erasures, and what says that they are fulfilled.

use lethe_core::erasure::{
    AcceptedErasure, Erasure, ErasureKind, ErasureNumber, IdempotencyTag, ShredLeaf,
};
use lethe_core::grid::Generation;
use lethe_core::identity::{HsmKeyId, KeyspaceId};
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::{
    BatchCommit, BatchStore, ErasureStore, Fulfilled, ReceiptStore, SignedDestruction, StoreError,
};
use lethe_core::receipt::{Commitment, ErasureId};
use lethe_core::time::Timestamp;
use lethe_core::tree::Address;

use super::{Fixture, batch};

/// A signed destruction of these keys.
#[must_use]
pub fn destruction(at: u64, destroyed: Vec<HsmKeyId>) -> SignedDestruction {
    SignedDestruction {
        destroyed_at: Timestamp::from_millis(at),
        destroyed,
        signing_key: HsmKeyId::from_bytes([9; 16]),
        signature: [8; 64],
    }
}

pub(super) fn erasure(byte: u8, kind: ErasureKind) -> Erasure {
    Erasure {
        id: ErasureId::from_bytes([byte; 16]),
        keyspace: KeyspaceId::from_bytes([1; 16]),
        accepted_at: Timestamp::from_millis(1_000 + u64::from(byte)),
        leases_end_at: Timestamp::from_millis(2_000),
        kind,
    }
}

/// A shred with two leaves, whose bytes follow from `byte`.
#[must_use]
pub fn shred(byte: u8) -> Erasure {
    let leaf = |number: u32| ShredLeaf {
        version: KeyVersion::new(number).expect("not zero"),
        generation: Generation::new(u16::MAX),
        address: Address::from_bits(u64::MAX - u64::from(byte)),
    };
    let kind = ErasureKind::Shred {
        tag: IdempotencyTag::from_bytes([byte; 16]),
        commitment: Commitment::from_bytes([byte; 32]),
        leaves: vec![leaf(1), leaf(u32::MAX)],
    };
    erasure(byte, kind)
}

fn numbered(first: u64, erasures: &[Erasure]) -> Vec<AcceptedErasure> {
    let numbers = (first..).map(ErasureNumber::new);
    numbers
        .zip(erasures.iter().cloned())
        .map(|(number, erasure)| AcceptedErasure { number, erasure })
        .collect()
}

/// A batch of these erasures.
fn fulfilling(sequence: u64, first: u64, last: u64) -> BatchCommit {
    BatchCommit {
        fulfilled: Some(Fulfilled {
            first: ErasureNumber::new(first),
            last: ErasureNumber::new(last),
            replaced_root: HsmKeyId::from_bytes([6; 16]),
        }),
        ..batch(sequence, vec![])
    }
}

/// Every kind comes back whole, numbered in the order of acceptance.
pub async fn requests_are_numbered_in_order(fixture: impl Fixture) {
    let store = fixture.store();
    let erase = ErasureKind::EraseKeyspace("chat".parse().expect("a name"));
    let all = [
        shred(1),
        erasure(2, erase),
        erasure(3, ErasureKind::DropVersion(KeyVersion::FIRST)),
        shred(4),
    ];
    assert_eq!(store.accept(&all[..3]).await, Ok(ErasureNumber::new(1)));
    assert_eq!(store.accept(&all[3..]).await, Ok(ErasureNumber::new(4)));
    assert_eq!(
        store.open_erasures(ErasureNumber::new(0)).await,
        Ok(numbered(1, &all))
    );
    let ids = [all[3].id, ErasureId::from_bytes([0; 16]), all[1].id];
    let mut found = store.erasures_by_id(&ids).await.expect("requests");
    found.sort_by_key(|it| it.number);
    assert_eq!(
        found,
        [&numbered(2, &all[1..2])[..], &numbered(4, &all[3..])].concat()
    );
    let range = store.erasures(ErasureNumber::new(2), ErasureNumber::new(3));
    assert_eq!(range.await, Ok(numbered(2, &all[1..3])));
}

/// An id that is there refuses all of them.
pub async fn accepted_all_or_none(fixture: impl Fixture) {
    let store = fixture.store();
    assert_eq!(store.accept(&[shred(1)]).await, Ok(ErasureNumber::new(1)));
    let many: Vec<Erasure> = (2..200).chain([1]).map(shred).collect();
    assert!(matches!(
        store.accept(&many).await,
        Err(StoreError::Conflict(_))
    ));
    assert_eq!(
        store.open_erasures(ErasureNumber::new(0)).await,
        Ok(numbered(1, &[shred(1)]))
    );
    assert_eq!(store.accept(&many[..198]).await, Ok(ErasureNumber::new(2)));
}

/// A batch takes its erasures, and bears its signature once.
pub async fn batches_fulfil_requests(fixture: impl Fixture) {
    let store = fixture.store();
    let all: Vec<Erasure> = (1..=5).map(shred).collect();
    assert_eq!(store.accept(&all).await, Ok(ErasureNumber::new(1)));
    assert_eq!(store.commit_batch(&batch(1, vec![])).await, Ok(()));
    assert_eq!(store.commit_batch(&fulfilling(2, 1, 3)).await, Ok(()));
    assert_eq!(
        store.open_erasures(ErasureNumber::new(3)).await,
        Ok(numbered(4, &all[3..]))
    );
    let unsigned = store.unsigned_batches().await.expect("batches");
    assert_eq!(unsigned.len(), 1);
    assert_eq!((unsigned[0].sequence, &unsigned[0].signed), (2, &None));
    let gone = vec![HsmKeyId::from_bytes([6; 16]), HsmKeyId::from_bytes([7; 16])];
    let signed = destruction(5_000, gone);
    assert_eq!(store.sign_batch(2, &signed).await, Ok(()));
    assert!(store.sign_batch(2, &signed).await.is_err());
    assert!(store.sign_batch(3, &signed).await.is_err());
    assert_eq!(store.unsigned_batches().await, Ok(vec![]));
    for (number, expected) in [(1, Some(2)), (3, Some(2)), (4, None)] {
        let row = store.batch_of(ErasureNumber::new(number)).await;
        let row = row.expect("a batch or none");
        assert_eq!(row.as_ref().map(|row| row.sequence), expected);
        if let Some(row) = row {
            assert_eq!(row.signed.as_ref(), Some(&signed));
            assert_eq!(row.fulfilled.last, ErasureNumber::new(3));
        }
    }
}

/// What is old goes with its whole batch; what is open stays open.
pub async fn receipts_are_forgotten_by_whole_batches(fixture: impl Fixture) {
    let store = fixture.store();
    let all: Vec<Erasure> = (1..=5).map(shred).collect();
    assert_eq!(store.accept(&all).await, Ok(ErasureNumber::new(1)));
    assert_eq!(store.commit_batch(&batch(1, vec![])).await, Ok(()));
    for (sequence, first, last) in [(2, 1, 2), (3, 3, 3), (4, 4, 4)] {
        let commit = fulfilling(sequence, first, last);
        assert_eq!(store.commit_batch(&commit).await, Ok(()));
        let signed = destruction(sequence * 1_000, vec![HsmKeyId::from_bytes([6; 16])]);
        assert_eq!(store.sign_batch(sequence, &signed).await, Ok(()));
    }
    let before = Timestamp::from_millis(3_500);
    while store.forget_receipts(before).await.expect("forgotten") {}
    let first = ErasureNumber::new(1);
    let left = store.erasures(first, ErasureNumber::new(9)).await;
    assert_eq!(left, Ok(numbered(4, &all[3..])));
    assert_eq!(store.batch_of(first).await, Ok(None));
    let late = Timestamp::from_millis(9_000);
    while store.forget_receipts(late).await.expect("forgotten") {}
    assert_eq!(
        store.open_erasures(ErasureNumber::new(4)).await,
        Ok(numbered(5, &all[4..]))
    );
    assert_eq!(store.accept(&[shred(9)]).await, Ok(ErasureNumber::new(6)));
}

/// A keyspace that was erased is known by name and id together.
pub async fn erased_names_are_remembered(fixture: impl Fixture) {
    let store = fixture.store();
    let (name, other) = (
        "chat".parse().expect("a name"),
        "other".parse().expect("a name"),
    );
    let erase = erasure(
        1,
        ErasureKind::EraseKeyspace("chat".parse().expect("a name")),
    );
    let (id, erase_id) = (erase.keyspace, erase.id);
    assert_eq!(store.accept(&[erase]).await, Ok(ErasureNumber::new(1)));
    assert_eq!(store.erase_of(&name, id).await, Ok(Some(erase_id)));
    assert_eq!(store.erase_of(&other, id).await, Ok(None));
    let unknown = KeyspaceId::from_bytes([2; 16]);
    assert_eq!(store.erase_of(&name, unknown).await, Ok(None));
}
