use lethe_core::identity::HsmKeyId;
use lethe_core::ports::{
    BucketStore, HsmMove, HsmMoveStore, SigningPurpose, StoreError, VerificationKey,
};
use lethe_core::succession::{PublishedKey, Succession};

use super::{Fixture, bucket};

/// Buckets are replaced all or none, and only in place of the key named.
pub async fn buckets_are_replaced_by_key(fixture: impl Fixture) {
    let store = fixture.store();
    let (first, second) = (bucket(10), bucket(20));
    let both = [first.clone(), second.clone()];
    assert_eq!(store.create_buckets(&both).await, Ok(()));
    let mut moved = first.clone();
    moved.key = HsmKeyId::from_bytes([0xee; 16]);
    moved.sealed.iv = [0xee; 12];
    let mut stranger = second.clone();
    stranger.key = HsmKeyId::from_bytes([0xdd; 16]);
    let wrong = [(first.key, moved.clone()), (stranger.key, stranger.clone())];
    let refused = store.replace_buckets(&wrong).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))));
    assert_eq!(store.buckets().await, Ok(both.to_vec()));
    let right = [(first.key, moved.clone())];
    assert_eq!(store.replace_buckets(&right).await, Ok(()));
    assert_eq!(store.buckets().await, Ok(vec![moved, second]));
}

fn key(byte: u8, predecessor: Option<u8>) -> PublishedKey {
    PublishedKey {
        key: VerificationKey {
            id: HsmKeyId::from_bytes([byte; 16]),
            purpose: SigningPurpose::Checkpoint,
            public_key: [byte; 32],
        },
        succession: predecessor.map(|before| Succession {
            predecessor: HsmKeyId::from_bytes([before; 16]),
            endorsement: [byte; 64],
        }),
    }
}

/// One move at a time; what is published stays, in order of succession, over reopening.
pub async fn moves_keep_the_succession(mut fixture: impl Fixture) {
    // Higher ids first: order is not that of the ids.
    let (old, new, newest) = (key(9, None), key(5, Some(9)), key(1, Some(5)));
    let store = fixture.store();
    assert_eq!(store.signing_keys().await, Ok(vec![]));
    assert_eq!(store.hsm_move().await, Ok(None));
    let begun = store.begin_hsm_move(&[old.clone(), new.clone()]).await;
    assert_eq!(begun, Ok(()));
    let again = store.begin_hsm_move(std::slice::from_ref(&newest)).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))));
    drop(store);
    fixture.reopen().await;
    let store = fixture.store();
    let published = vec![old.clone(), new.clone()];
    assert_eq!(store.signing_keys().await, Ok(published.clone()));
    assert_eq!(store.hsm_move().await, Ok(Some(HsmMove::UnderWay)));
    assert_eq!(store.hsm_is_emptied().await, Ok(()));
    assert_eq!(store.hsm_move().await, Ok(Some(HsmMove::Emptied)));
    for _ in 0..2 {
        assert_eq!(store.finish_hsm_move().await, Ok(()));
        assert_eq!(store.hsm_move().await, Ok(None));
    }
    // A later move: keys that are there stay as they are.
    let later = [old.clone(), new.clone(), newest.clone()];
    assert_eq!(store.begin_hsm_move(&later).await, Ok(()));
    assert_eq!(store.signing_keys().await, Ok(later.to_vec()));
    assert_eq!(store.hsm_move().await, Ok(Some(HsmMove::UnderWay)));
}
