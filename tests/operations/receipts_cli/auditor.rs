//! Receipts that a test signs, and the command that an auditor checks them with.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use lethe::node::verification_keys::to_text;
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
use serde_json::{Value, json};

pub(crate) const SIGNER: HsmKeyId = HsmKeyId::from_bytes([0x51; 16]);

pub(crate) const BUCKET: HsmKeyId = HsmKeyId::from_bytes([0xb0; 16]);

pub(crate) const KEYSPACE: KeyspaceId = KeyspaceId::from_bytes([0x4b; 16]);

pub(crate) fn opening(conversation: &str) -> Opening {
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

pub(crate) fn accepted(number: u8) -> Accepted {
    Accepted {
        id: ErasureId::from_bytes([number; 16]),
        keyspace: KEYSPACE,
        accepted_at: Timestamp::from_millis(1_523_642_400_000),
        leases_end_at: Timestamp::from_millis(1_523_642_700_000),
    }
}

pub(crate) fn shred(number: u8) -> Item {
    Item::Shred {
        accepted: accepted(number),
        commitment: opening(&format!("room {number}")).commitment(),
    }
}

/// A folder with a fresh signing key, its public half, and files that a test writes.
pub(crate) struct Auditor {
    folder: tempfile::TempDir,
    pair: Ed25519KeyPair,
}

impl Auditor {
    pub(crate) fn new() -> Self {
        let auditor = Self {
            folder: tempfile::tempdir().unwrap(),
            pair: Ed25519KeyPair::generate().unwrap(),
        };
        auditor.write("keys", &to_text(&auditor.keys()));
        auditor
    }

    pub(crate) fn keys(&self) -> Vec<VerificationKey> {
        let key = |id, purpose, public_key| VerificationKey {
            id,
            purpose,
            public_key,
        };
        let other = HsmKeyId::from_bytes([0x52; 16]);
        vec![
            key(SIGNER, SigningPurpose::Receipt, self.public_key()),
            key(other, SigningPurpose::Checkpoint, [9; 32]),
        ]
    }

    pub(crate) fn public_key(&self) -> [u8; 32] {
        self.pair.public_key().as_ref().try_into().unwrap()
    }

    pub(crate) fn sign(&self, facts: Facts, items: Vec<Item>) -> Vec<Receipt> {
        let receipts = BatchReceipts::new(Batch { facts, items }).unwrap();
        let signature = self.pair.sign(&receipts.statement());
        let signature = signature.as_ref().try_into().unwrap();
        receipts.receipts(signature).collect()
    }

    pub(crate) fn facts(method: Method, sequence: u64, destroyed: Vec<HsmKeyId>) -> Facts {
        Facts {
            deployment: DeploymentId::from_bytes([0xde; 16]),
            method,
            sequence,
            destroyed_at: Timestamp::from_millis(1_523_642_400_250),
            destroyed,
            signing_key: SIGNER,
        }
    }

    pub(crate) fn batch(&self, items: Vec<Item>) -> Vec<Receipt> {
        let roots = [1, 2].map(|n| HsmKeyId::from_bytes([n; 16]));
        let facts = Self::facts(Method::RootsDestroyed, 7, roots.to_vec());
        self.sign(facts, items)
    }

    pub(crate) fn expiry(&self) -> Receipt {
        let facts = Self::facts(Method::BucketKeyDestroyed, 0, vec![BUCKET]);
        let expiry = Expiry::from_seconds(1_523_642_400);
        let item = Item::BucketExpiry {
            key: BUCKET,
            expiry,
        };
        self.sign(facts, vec![item]).remove(0)
    }

    /// As the API answers a shred.
    pub(crate) fn answer(receipt: &Receipt, conversation: &str) -> Value {
        let parse = |text: String| serde_json::from_str::<Value>(&text).unwrap();
        json!({ "id": ErasureId::from_bytes([1; 16]).to_string(), "state": "destroyed",
            "receipt": parse(receipt.to_json()),
            "opening": parse(opening(conversation).to_json()) })
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn verify(&self, file: &str, words: &[&str]) -> Verdict {
        let key = ["receipt", "verify", file, "--key", "keys"];
        self.lethe(&[&key[..], words].concat(), "")
    }

    pub(crate) fn lethe(&self, words: &[&str], input: &str) -> Verdict {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lethe"))
            .args(words)
            .current_dir(self.folder.path())
            .env_remove("LETHE_DIR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may not read it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Verdict(child.wait_with_output().unwrap())
    }

    /// Verifies this text, in both outputs.
    pub(crate) fn check(&self, text: &str) -> Verdict {
        self.write("file", text);
        let verdict = self.verify("file", &[]);
        let json = self.verify("file", &["--output", "json"]);
        let read: Value = serde_json::from_slice(&json.0.stdout).unwrap();
        assert_eq!(read["valid"], verdict.0.status.success(), "{text:.300}");
        assert_eq!(json.0.status, verdict.0.status);
        verdict
    }
}

pub(crate) struct Verdict(pub(crate) Output);

impl Verdict {
    #[track_caller]
    pub(crate) fn valid(&self) -> String {
        let errors = String::from_utf8_lossy(&self.0.stderr);
        assert!(self.0.status.success(), "{errors}");
        assert_eq!(errors, "");
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    /// One line that says this.
    #[track_caller]
    pub(crate) fn refused(&self, why: &str) {
        let errors = String::from_utf8_lossy(&self.0.stderr);
        assert_eq!(self.0.status.code(), Some(1), "{errors}");
        assert!(errors.starts_with("lethe: "), "{errors}");
        assert!(errors.contains(why), "{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
}
