//! What every adapter of the [`Hsm`] port must do. [`hsm_contract!`](crate::hsm_contract!) stamps
//! one test per clause.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use lethe_core::identity::{DeploymentId, HsmKeyId};
use lethe_core::ports::ClaimKind::{Held, Wanted};
use lethe_core::ports::{Hsm, HsmError, HsmKey, KeyLabel, SigningPurpose};
use lethe_core::secret::Secret32;
use lethe_core::time::Expiry;
use tokio::task::JoinSet;

/// A clause: it panics when the adapter breaks it.
pub type Clause = fn(Arc<dyn Hsm>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Stamps one `#[test]` per clause; each calls `$runner(name, clause)`, which makes an adapter
/// and runs the clause on it (`fn(&str, Clause)`).
#[macro_export]
macro_rules! hsm_contract {
    ($runner:path) => {
        $crate::hsm_contract! { @stamp $runner;
            lists_by_deployment seals_and_opens refuses_other_aad refuses_altered_ciphertext
            needs_id_and_label destroyed_keys_are_gone destroy_spares_others keeps_a_claim
            claims_are_listed_and_removed signs_verifiably signing_pairs_are_destroyed
            gives_random_bytes serves_many_at_once tells_its_status }
    };
    (@stamp $runner:path; $($clause:ident)+) => {
        $(
            #[test]
            fn $clause() {
                $runner(stringify!($clause), |hsm| Box::pin($crate::hsm_contract::$clause(hsm)));
            }
        )+
    };
}

fn deployment() -> DeploymentId {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("random bytes");
    DeploymentId::from_bytes(bytes)
}

fn bucket(deployment: DeploymentId, seconds: u64) -> KeyLabel {
    KeyLabel::Bucket {
        deployment,
        expiry: Expiry::from_seconds(seconds),
    }
}

fn secret(byte: u8) -> Secret32 {
    Secret32::filled(|bytes| bytes.fill(byte))
}

async fn new_key(hsm: &dyn Hsm) -> HsmKey {
    hsm.create_key(bucket(deployment(), 1_700_000_000))
        .await
        .expect("create_key")
}

/// `keys` gives all kinds of this deployment and nothing of another.
pub async fn lists_by_deployment(hsm: Arc<dyn Hsm>) {
    let (ours, theirs) = (deployment(), deployment());
    let one = hsm
        .create_key(bucket(ours, 1_700_000_000))
        .await
        .expect("bucket");
    let two = hsm
        .create_key(KeyLabel::Root {
            deployment: ours,
            sequence: 7,
            epoch: 2,
        })
        .await
        .expect("root");
    let other = hsm
        .create_key(bucket(theirs, 1_700_000_000))
        .await
        .expect("other");
    let mut found = hsm.keys(ours).await.expect("keys");
    found.sort_by_key(|key| key.label.to_string());
    assert_eq!(found, [one, two]);
    assert_eq!(hsm.keys(theirs).await, Ok(vec![other]));
    assert_eq!(hsm.keys(deployment()).await, Ok(vec![]));
}

/// What was sealed opens; IVs differ.
pub async fn seals_and_opens(hsm: Arc<dyn Hsm>) {
    let key = new_key(&*hsm).await;
    let first = hsm.seal(key, b"aad", &secret(5)).await.expect("seal");
    let second = hsm.seal(key, b"", &secret(5)).await.expect("seal");
    assert_ne!(first.iv, second.iv);
    assert!(
        hsm.open(key, b"aad", &first)
            .await
            .expect("open")
            .same_as(&secret(5))
    );
    assert!(
        hsm.open(key, b"", &second)
            .await
            .expect("open")
            .same_as(&secret(5))
    );
}

/// Other associated data: does not open.
pub async fn refuses_other_aad(hsm: Arc<dyn Hsm>) {
    let key = new_key(&*hsm).await;
    let sealed = hsm.seal(key, b"aad", &secret(5)).await.expect("seal");
    assert_eq!(
        hsm.open(key, b"other", &sealed).await.err(),
        Some(HsmError::DoesNotOpen)
    );
    assert!(hsm.open(key, b"aad", &sealed).await.is_ok());
}

/// One bit of ciphertext, tag or IV: does not open. Nor under another key.
pub async fn refuses_altered_ciphertext(hsm: Arc<dyn Hsm>) {
    let key = new_key(&*hsm).await;
    let sealed = hsm.seal(key, b"aad", &secret(5)).await.expect("seal");
    for place in [0, 31, 32, 47] {
        let mut altered = sealed.clone();
        altered.ciphertext[place] ^= 1;
        assert_eq!(
            hsm.open(key, b"aad", &altered).await.err(),
            Some(HsmError::DoesNotOpen),
            "{place}"
        );
    }
    let mut altered = sealed.clone();
    altered.iv[0] ^= 1;
    assert_eq!(
        hsm.open(key, b"aad", &altered).await.err(),
        Some(HsmError::DoesNotOpen)
    );
    let other = new_key(&*hsm).await;
    assert_eq!(
        hsm.open(other, b"aad", &sealed).await.err(),
        Some(HsmError::DoesNotOpen)
    );
}

/// A key is used and destroyed only under its id *and* its label.
pub async fn needs_id_and_label(hsm: Arc<dyn Hsm>) {
    let key = new_key(&*hsm).await;
    let other_label = HsmKey {
        label: bucket(deployment(), 1),
        ..key
    };
    let other_id = HsmKey {
        id: HsmKeyId::from_bytes([9; 16]),
        ..key
    };
    for wrong in [other_label, other_id] {
        assert_eq!(
            hsm.seal(wrong, b"", &secret(1)).await.err(),
            Some(HsmError::NotFound)
        );
        assert_eq!(hsm.destroy(wrong).await, Err(HsmError::NotFound));
    }
    assert!(hsm.seal(key, b"", &secret(1)).await.is_ok());
}

/// After a destroy: not found, by any call.
pub async fn destroyed_keys_are_gone(hsm: Arc<dyn Hsm>) {
    let ours = deployment();
    let key = hsm
        .create_key(bucket(ours, 1_700_000_000))
        .await
        .expect("create_key");
    let sealed = hsm.seal(key, b"", &secret(1)).await.expect("seal");
    assert_eq!(hsm.holds(key).await, Ok(true));
    let label = bucket(ours, 1_700_000_001);
    assert_eq!(hsm.holds(HsmKey { label, ..key }).await, Ok(false));
    assert_eq!(hsm.destroy(key).await, Ok(()));
    assert_eq!(hsm.holds(key).await, Ok(false));
    assert_eq!(
        hsm.open(key, b"", &sealed).await.err(),
        Some(HsmError::NotFound)
    );
    assert_eq!(hsm.destroy(key).await, Err(HsmError::NotFound));
    assert_eq!(hsm.keys(ours).await, Ok(vec![]));
}

/// A destroy spares even a key of the same label.
pub async fn destroy_spares_others(hsm: Arc<dyn Hsm>) {
    let label = bucket(deployment(), 1_700_000_000);
    let doomed = hsm.create_key(label).await.expect("create_key");
    let twin = hsm.create_key(label).await.expect("create_key");
    let sealed = hsm.seal(twin, b"", &secret(3)).await.expect("seal");
    assert_eq!(hsm.destroy(doomed).await, Ok(()));
    assert!(
        hsm.open(twin, b"", &sealed)
            .await
            .expect("open")
            .same_as(&secret(3))
    );
}

/// A claim is absent, set, replaced, and its deployment's alone; so is the other one.
pub async fn keeps_a_claim(hsm: Arc<dyn Hsm>) {
    let ours = deployment();
    for (kind, other) in [(Held, Wanted), (Wanted, Held)] {
        assert_eq!(hsm.claim(ours, kind).await, Ok(vec![]));
        for value in ["store one", "store two", "store two"] {
            assert_eq!(hsm.set_claim(ours, kind, value).await, Ok(()));
            assert_eq!(hsm.claim(ours, kind).await, Ok(vec![value.to_owned()]));
        }
        assert_eq!(hsm.claim(deployment(), kind).await, Ok(vec![]));
        assert_eq!(hsm.claim(ours, other).await, Ok(vec![]));
        assert_eq!(hsm.remove_claim(ours, kind).await, Ok(()));
    }
}

/// Signatures verify under the listed public key, outside of the device.
pub async fn signs_verifiably(hsm: Arc<dyn Hsm>) {
    let ours = deployment();
    let receipt = hsm
        .create_signing_key(ours, SigningPurpose::Receipt)
        .await
        .expect("pair");
    let checkpoint = hsm
        .create_signing_key(ours, SigningPurpose::Checkpoint)
        .await
        .expect("pair");
    let signature = hsm.sign(receipt.id, b"message").await.expect("sign");
    let public = UnparsedPublicKey::new(&ED25519, receipt.public_key);
    assert!(public.verify(b"message", &signature).is_ok());
    assert!(public.verify(b"massage", &signature).is_err());
    let mut listed = hsm.verification_keys(ours).await.expect("list");
    listed.sort_by_key(|key| key.purpose);
    assert_eq!(listed, [receipt, checkpoint]);
    assert_eq!(hsm.verification_keys(deployment()).await, Ok(vec![]));
    let unknown = HsmKeyId::from_bytes([9; 16]);
    assert_eq!(hsm.sign(unknown, b"message").await, Err(HsmError::NotFound));
}

/// A claim is removed when asked to, and only that one.
pub async fn claims_are_listed_and_removed(hsm: Arc<dyn Hsm>) {
    let (ours, theirs) = (deployment(), deployment());
    for whose in [ours, theirs] {
        assert_eq!(hsm.set_claim(whose, Held, "a store").await, Ok(()));
    }
    let claims = hsm.claims().await.expect("claims");
    for whose in [ours, theirs] {
        assert!(claims.contains(&(whose, "a store".to_owned())));
    }
    for _ in 0..2 {
        assert_eq!(hsm.remove_claim(ours, Held).await, Ok(()));
        assert_eq!(hsm.claim(ours, Held).await, Ok(vec![]));
    }
    let left = hsm.claim(theirs, Held).await;
    assert_eq!(left, Ok(vec!["a store".to_owned()]));
    assert_eq!(hsm.set_claim(ours, Wanted, "who asks").await, Ok(()));
    assert_eq!(hsm.claims().await.map(|claims| claims.len()), Ok(1));
}

/// Of a destroyed signing pair neither half is left; others are.
pub async fn signing_pairs_are_destroyed(hsm: Arc<dyn Hsm>) {
    let ours = deployment();
    let (receipt, checkpoint) = (SigningPurpose::Receipt, SigningPurpose::Checkpoint);
    let goes = hsm.create_signing_key(ours, receipt).await.expect("pair");
    let stays = hsm.create_signing_key(ours, checkpoint);
    let stays = stays.await.expect("pair");
    let mut pairs = hsm.signing_pairs(ours).await.expect("list");
    pairs.sort_unstable_by_key(|(_, purpose)| *purpose);
    assert_eq!(pairs, [(goes.id, receipt), (stays.id, checkpoint)]);
    // Of another purpose, or another deployment's: not this one.
    let other = hsm.destroy_signing_pair(ours, goes.id, checkpoint).await;
    assert_eq!(other, Ok(()));
    let foreign = hsm.destroy_signing_pair(deployment(), goes.id, receipt);
    assert_eq!(foreign.await, Ok(()));
    assert!(hsm.sign(goes.id, b"message").await.is_ok());
    for _ in 0..2 {
        let destroyed = hsm.destroy_signing_pair(ours, goes.id, receipt).await;
        assert_eq!(destroyed, Ok(()));
        assert_eq!(hsm.sign(goes.id, b"message").await, Err(HsmError::NotFound));
    }
    assert_eq!(
        hsm.signing_pairs(ours).await,
        Ok(vec![(stays.id, checkpoint)])
    );
    assert_eq!(hsm.verification_keys(ours).await, Ok(vec![stays]));
}

/// As many bytes as asked for, and never the same.
pub async fn gives_random_bytes(hsm: Arc<dyn Hsm>) {
    for length in [1, 16, 32, 1000] {
        assert_eq!(hsm.random(length).await.expect("random").len(), length);
    }
    assert_ne!(
        hsm.random(32).await.expect("random"),
        hsm.random(32).await.expect("random")
    );
}

/// Sixteen tasks at once, each with keys of its own.
pub async fn serves_many_at_once(hsm: Arc<dyn Hsm>) {
    let mut tasks = JoinSet::new();
    for byte in 0..16 {
        let hsm = Arc::clone(&hsm);
        tasks.spawn(async move {
            let key = new_key(&*hsm).await;
            let sealed = hsm.seal(key, &[byte], &secret(byte)).await.expect("seal");
            assert!(
                hsm.open(key, &[byte], &sealed)
                    .await
                    .expect("open")
                    .same_as(&secret(byte))
            );
            assert_eq!(hsm.destroy(key).await, Ok(()));
            assert_eq!(
                hsm.open(key, &[byte], &sealed).await.err(),
                Some(HsmError::NotFound)
            );
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("a task failed");
    }
}

/// Status counts the objects of the token, and tells the deployment's claim.
pub async fn tells_its_status(hsm: Arc<dyn Hsm>) {
    let ours = deployment();
    let before = hsm.status(ours).await.expect("status");
    assert_eq!(before.claim, None);
    hsm.create_key(bucket(ours, 1_700_000_000))
        .await
        .expect("create_key");
    hsm.set_claim(ours, Held, "our store")
        .await
        .expect("set_claim");
    let status = hsm.status(ours).await.expect("status");
    assert_eq!(status.objects, before.objects + 2);
    assert_eq!(status.claim.as_deref(), Some("our store"));
    assert!(!status.token.is_empty());
}
