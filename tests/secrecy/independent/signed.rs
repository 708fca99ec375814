//! Receipts of every kind, signed here.

use std::path::Path;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64ct::{Base64, Encoding};
use lethe_core::conversation::ConversationId;
use lethe_core::grid::Generation;
use lethe_core::identity::{DeploymentId, HsmKeyId, KeyspaceId};
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::{SigningPurpose, VerificationKey};
use lethe_core::receipt::{
    Accepted, Batch, BatchReceipts, ErasureId, Facts, Item, Method, Opening, Receipt, ShreddedKey,
};
use lethe_core::secret::Secret32;
use lethe_core::time::{Expiry, Timestamp};

pub const SIGNER: HsmKeyId = HsmKeyId::from_bytes([0x51; 16]);
pub const CHECKPOINTS: HsmKeyId = HsmKeyId::from_bytes([0x52; 16]);
pub const BUCKET: HsmKeyId = HsmKeyId::from_bytes([0xb0; 16]);
pub const KEYSPACE: KeyspaceId = KeyspaceId::from_bytes([0x4b; 16]);
const RECENT: u64 = 1_523_642_400_000;

pub fn pair(key: HsmKeyId) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[key.as_bytes()[0]; 32]).unwrap()
}

pub fn keys() -> Vec<VerificationKey> {
    let key = |id, purpose| VerificationKey {
        id,
        purpose,
        public_key: pair(id).public_key().as_ref().try_into().unwrap(),
    };
    vec![
        key(CHECKPOINTS, SigningPurpose::Checkpoint),
        key(SIGNER, SigningPurpose::Receipt),
    ]
}

/// `verify.pub` with these keys.
pub fn write_keys(path: &Path) {
    let head = [
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
    ];
    let mut text = String::new();
    for key in keys() {
        let purpose = match key.purpose {
            SigningPurpose::Receipt => "receipt",
            SigningPurpose::Checkpoint => "checkpoint",
        };
        let public = Base64::encode_string(&[head.as_slice(), &key.public_key].concat());
        text += &format!(
            "# {purpose} {}\n-----BEGIN PUBLIC KEY-----\n{public}\n-----END PUBLIC KEY-----\n",
            key.id
        );
    }
    std::fs::write(path, text).unwrap();
}

pub fn facts(method: Method) -> Facts {
    let roots = method == Method::RootsDestroyed;
    Facts {
        deployment: DeploymentId::from_bytes([0xde; 16]),
        method,
        sequence: if roots { 7 } else { 0 },
        destroyed_at: Timestamp::from_millis(RECENT + 250),
        destroyed: if roots {
            vec![HsmKeyId::from_bytes([1; 16]), HsmKeyId::from_bytes([2; 16])]
        } else {
            vec![BUCKET]
        },
        signing_key: SIGNER,
    }
}

pub fn opening(conversation: &str) -> Opening {
    let key = |version, generation| ShreddedKey {
        version: KeyVersion::new(version).unwrap(),
        generation: Generation::new(generation),
    };
    Opening {
        salt: Secret32::filled(|bytes| bytes.fill(0x5a)),
        keyspace: KEYSPACE,
        conversation: ConversationId::try_from(conversation).unwrap(),
        keys: vec![key(1, 3), key(2, 65_535)],
    }
}

pub fn accepted(number: u64) -> Accepted {
    Accepted {
        id: ErasureId::from_bytes([number as u8 ^ 0xa5; 16]),
        keyspace: KEYSPACE,
        accepted_at: Timestamp::from_millis(RECENT + number),
        leases_end_at: Timestamp::from_millis(RECENT + 300_000),
    }
}

pub fn shred(number: u64) -> Item {
    Item::Shred {
        accepted: accepted(number),
        commitment: opening(&format!("c{number}")).commitment(),
    }
}

pub fn erase(number: u64) -> Item {
    Item::KeyspaceErase {
        accepted: accepted(number),
    }
}

pub fn drop_version(number: u64) -> Item {
    Item::VersionDrop {
        accepted: accepted(number),
        version: KeyVersion::new(4).unwrap(),
    }
}

pub const fn expiry() -> Item {
    Item::BucketExpiry {
        key: BUCKET,
        expiry: Expiry::from_seconds(RECENT / 1_000),
    }
}

/// Signed by the key that the facts name, or by [`SIGNER`] when nobody knows that one.
pub fn sign(facts: Facts, items: Vec<Item>) -> Vec<Receipt> {
    let known = keys().iter().any(|key| key.id == facts.signing_key);
    let signer = if known { facts.signing_key } else { SIGNER };
    let receipts = BatchReceipts::new(Batch { facts, items }).unwrap();
    let signature = pair(signer).sign(&receipts.statement());
    let signature = signature.as_ref().try_into().unwrap();
    receipts.receipts(signature).collect()
}
