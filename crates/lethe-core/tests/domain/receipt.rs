//! Receipts: what is signed verifies alone, from its JSON; what is altered does not.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use lethe_core::conversation::ConversationId;
use lethe_core::grid::Generation;
use lethe_core::identity::{DeploymentId, HsmKeyId, KeyspaceId};
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::{SigningPurpose, VerificationKey};
use lethe_core::receipt::{
    Accepted, Batch, BatchReceipts, ErasureId, Facts, InvalidReceipt, Item, Method, Opening,
    Receipt, ShreddedKey,
};
use lethe_core::secret::Secret32;
use lethe_core::time::{Expiry, Timestamp};
use proptest::prelude::*;

const SIGNER: HsmKeyId = HsmKeyId::from_bytes([0x51; 16]);
const BUCKET: HsmKeyId = HsmKeyId::from_bytes([0xb0; 16]);
const KEYSPACE: KeyspaceId = KeyspaceId::from_bytes([0x4b; 16]);

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap()
}

fn keys() -> Vec<VerificationKey> {
    let key = |id, purpose| VerificationKey {
        id,
        purpose,
        public_key: pair().public_key().as_ref().try_into().unwrap(),
    };
    let other = HsmKeyId::from_bytes([0x52; 16]);
    vec![
        key(other, SigningPurpose::Checkpoint),
        key(SIGNER, SigningPurpose::Receipt),
    ]
}

fn facts(method: Method) -> Facts {
    let roots = method == Method::RootsDestroyed;
    Facts {
        deployment: DeploymentId::from_bytes([0xde; 16]),
        method,
        sequence: if roots { 7 } else { 0 },
        destroyed_at: Timestamp::from_millis(1_523_642_400_250),
        destroyed: if roots {
            vec![HsmKeyId::from_bytes([1; 16]), HsmKeyId::from_bytes([2; 16])]
        } else {
            vec![BUCKET]
        },
        signing_key: SIGNER,
    }
}

fn opening(conversation: &str) -> Opening {
    let key = |version, generation| ShreddedKey {
        version: KeyVersion::new(version).unwrap(),
        generation: Generation::new(generation),
    };
    Opening {
        salt: Secret32::filled(|bytes| bytes.fill(0x5a)),
        keyspace: KEYSPACE,
        conversation: ConversationId::try_from(conversation).unwrap(),
        keys: vec![key(1, 3), key(2, 0)],
    }
}

fn item(number: u64) -> Item {
    let accepted = Accepted {
        id: ErasureId::from_bytes(u128::from(number).to_be_bytes()),
        keyspace: KEYSPACE,
        accepted_at: Timestamp::from_millis(1_523_642_400_000 + number),
        leases_end_at: Timestamp::from_millis(1_523_642_700_000),
    };
    match number % 3 {
        0 => Item::Shred {
            accepted,
            commitment: opening(&format!("c{number}")).commitment(),
        },
        1 => Item::KeyspaceErase { accepted },
        _ => Item::VersionDrop {
            accepted,
            version: KeyVersion::new(4).unwrap(),
        },
    }
}

fn signed(facts: Facts, items: Vec<Item>) -> Vec<Receipt> {
    let receipts = BatchReceipts::new(Batch { facts, items }).unwrap();
    let signature = pair().sign(&receipts.statement());
    receipts
        .receipts(signature.as_ref().try_into().unwrap())
        .collect()
}

fn expiry() -> Receipt {
    let item = Item::BucketExpiry {
        key: BUCKET,
        expiry: Expiry::from_seconds(1_523_642_400),
    };
    signed(facts(Method::BucketKeyDestroyed), vec![item]).remove(0)
}

#[test]
fn every_receipt_of_a_batch_verifies_from_its_json() {
    for size in [1, 2, 3, 7, 64, 65] {
        let items: Vec<_> = (0..size).map(item).collect();
        let receipts = signed(facts(Method::RootsDestroyed), items.clone());
        for (receipt, item) in receipts.iter().zip(&items) {
            let read = Receipt::from_json(&receipt.to_json()).unwrap();
            assert_eq!((&read, &read.item), (receipt, item));
            assert_eq!(read.verify(&keys()), Ok(()));
        }
    }
    let read = Receipt::from_json(&expiry().to_json()).unwrap();
    assert_eq!(read, expiry());
    assert_eq!(read.verify(&keys()), Ok(()));
    assert!(
        BatchReceipts::new(Batch {
            facts: facts(Method::RootsDestroyed),
            items: vec![]
        })
        .is_none()
    );
}

#[test]
fn each_refusal() {
    let receipts = signed(facts(Method::RootsDestroyed), (0..5).map(item).collect());
    let altered = |change: &dyn Fn(&mut Receipt)| {
        let mut receipt = receipts[3].clone();
        change(&mut receipt);
        receipt.verify(&keys()).unwrap_err()
    };
    assert_eq!(altered(&|r| r.signature[0] ^= 1), InvalidReceipt::Signature);
    assert_eq!(altered(&|r| r.item = item(4)), InvalidReceipt::Signature);
    assert_eq!(altered(&|r| r.index = 2), InvalidReceipt::Signature);
    assert_eq!(
        altered(&|r| r.facts.destroyed.truncate(1)),
        InvalidReceipt::Signature
    );
    assert_eq!(altered(&|r| r.index = 5), InvalidReceipt::Path);
    assert_eq!(altered(&|r| r.path.truncate(1)), InvalidReceipt::Path);
    assert_eq!(
        altered(&|r| r.facts.destroyed.clear()),
        InvalidReceipt::Contradiction
    );
    assert_eq!(
        altered(&|r| r.item = expiry().item),
        InvalidReceipt::Contradiction
    );
    assert_eq!(
        altered(&|r| r.facts.signing_key = HsmKeyId::from_bytes([0; 16])),
        InvalidReceipt::UnknownKey
    );
    assert_eq!(
        altered(&|r| r.facts.signing_key = HsmKeyId::from_bytes([0x52; 16])),
        InvalidReceipt::WrongPurpose
    );
    let mut expired = expiry();
    expired.facts.destroyed = vec![SIGNER];
    assert_eq!(expired.verify(&keys()), Err(InvalidReceipt::Contradiction));
}

/// A later instant, another id: each field, changed alone.
#[test]
fn every_field_is_signed() {
    let later = Timestamp::from_millis(1_600_000_000_000);
    let receipts = signed(facts(Method::RootsDestroyed), (0..3).map(item).collect());
    let changes: [&dyn Fn(&mut Receipt); 4] = [
        &|r| r.facts.deployment = DeploymentId::from_bytes([0; 16]),
        &|r| r.facts.sequence = 8,
        &|r| r.facts.destroyed_at = later,
        &|r| r.facts.destroyed[1] = SIGNER,
    ];
    let of_accepted: [&dyn Fn(&mut Accepted); 4] = [
        &|a| a.id = ErasureId::from_bytes([9; 16]),
        &|a| a.keyspace = KeyspaceId::from_bytes([9; 16]),
        &|a| a.accepted_at = later,
        &|a| a.leases_end_at = later,
    ];
    for receipt in &receipts {
        for (number, change) in changes.iter().enumerate() {
            let mut altered = receipt.clone();
            change(&mut altered);
            assert_eq!(
                altered.verify(&keys()),
                Err(InvalidReceipt::Signature),
                "fact {number}"
            );
        }
        for (number, change) in of_accepted.iter().enumerate() {
            let mut altered = receipt.clone();
            match &mut altered.item {
                Item::Shred { accepted, .. }
                | Item::KeyspaceErase { accepted }
                | Item::VersionDrop { accepted, .. } => change(accepted),
                Item::BucketExpiry { .. } => panic!("not in this batch"),
            }
            assert_eq!(
                altered.verify(&keys()),
                Err(InvalidReceipt::Signature),
                "field {number}"
            );
        }
    }
    let mut altered = receipts[0].clone();
    altered.size = 4;
    assert_eq!(altered.verify(&keys()), Err(InvalidReceipt::Signature));
    let mut altered = receipts[2].clone();
    let Item::VersionDrop { version, .. } = &mut altered.item else {
        panic!("a version drop")
    };
    *version = KeyVersion::FIRST;
    assert_eq!(altered.verify(&keys()), Err(InvalidReceipt::Signature));
    let mut altered = expiry();
    altered.item = Item::BucketExpiry {
        key: BUCKET,
        expiry: Expiry::from_seconds(1_523_642_401),
    };
    assert_eq!(altered.verify(&keys()), Err(InvalidReceipt::Signature));
}

#[test]
fn an_opening_opens_its_own_receipt_only() {
    let receipts = signed(facts(Method::RootsDestroyed), (0..5).map(item).collect());
    let own = Opening::from_json(&opening("c3").to_json()).unwrap();
    assert_eq!(receipts[3].opens_with(&own), Ok(()));
    assert_eq!(
        receipts[3].opens_with(&opening("c4")),
        Err(InvalidReceipt::Opening)
    );
    assert_eq!(receipts[0].opens_with(&own), Err(InvalidReceipt::Opening));
    assert_eq!(
        receipts[1].opens_with(&own),
        Err(InvalidReceipt::Opening),
        "not of a conversation"
    );
    let mut other = opening("c3");
    other.keys[1].generation = Generation::new(1);
    assert_eq!(receipts[3].opens_with(&other), Err(InvalidReceipt::Opening));
    let mut other = opening("c3");
    other.keys[1].version = KeyVersion::new(3).unwrap();
    assert_eq!(receipts[3].opens_with(&other), Err(InvalidReceipt::Opening));
    let mut other = opening("c3");
    other.keys.pop();
    assert_eq!(receipts[3].opens_with(&other), Err(InvalidReceipt::Opening));
    let mut other = opening("c3");
    other.salt = Secret32::filled(|bytes| bytes.fill(0));
    assert_eq!(receipts[3].opens_with(&other), Err(InvalidReceipt::Opening));
    assert!(!receipts[3].to_json().contains("c3"));
}

#[test]
fn strange_json_is_refused() {
    let json = expiry().to_json();
    for (from, to) in [
        ("lethe/v1/receipt", "lethe/v2/receipt"),
        ("Ed25519", "none"),
        ("\"sequence\":0", "\"sequence\":0,\"more\":1"),
        ("\"sequence\":0", "\"sequence\":0,\"sequence\":0"),
        ("\"sequence\":0", "\"sequence\":-1"),
        (".250Z", ".25Z"),
        (".250Z", ".250+00:00"),
        ("/1523642400", "/01523642400"),
        ("bucket/de", "bucket/df"),
        (
            "\"kind\":\"bucket_expiry\"",
            "\"kind\":\"bucket_expiry\",\"id\":\"\"",
        ),
        ("{", "["),
    ] {
        assert!(json.contains(from), "{from}");
        assert!(
            Receipt::from_json(&json.replacen(from, to, 1)).is_err(),
            "{from} -> {to}"
        );
    }
}

proptest! {
    #[test]
    fn no_altered_byte_goes_unnoticed(at: prop::sample::Index, to in any::<u8>(), which in 0_usize..3) {
        let receipt = signed(facts(Method::RootsDestroyed), (0..3).map(item).collect()).remove(which);
        let mut bytes = receipt.to_json().into_bytes();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        // White space around the values may differ; what is said may not.
        let read = String::from_utf8(bytes).ok().and_then(|text| Receipt::from_json(&text).ok());
        if let Some(read) = read {
            prop_assert!(read == receipt || read.verify(&keys()).is_err());
        }
    }

    #[test]
    fn any_text(text in ".{0,200}") {
        prop_assert!(Receipt::from_json(&text).is_err());
        prop_assert!(Opening::from_json(&text).is_err());
    }
}
