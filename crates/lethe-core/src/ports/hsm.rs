use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;

use crate::identity::{DeploymentId, HsmKeyId};
use crate::secret::Secret32;
use crate::time::Expiry;

/// What a key in the HSM is for, as its `CKA_LABEL` says.
///
/// Text: `lethe/v1/bucket/<deployment>/<expiry seconds>`,
/// `lethe/v1/root/<deployment>/<sequence>/<epoch>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyLabel {
    /// The key X of a bucket.
    Bucket {
        /// The deployment that the key belongs to.
        deployment: DeploymentId,
        /// When the key may be destroyed, and not before.
        expiry: Expiry,
    },
    /// A root of the forgetting trees.
    Root {
        /// The deployment that the key belongs to.
        deployment: DeploymentId,
        /// The sequence of the batch that made the root.
        sequence: u64,
        /// The epoch of the leader that made the root.
        epoch: u64,
    },
}

/// The label is not one of Lethe's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a label of Lethe")]
pub struct LabelError;

impl fmt::Display for KeyLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket { deployment, expiry } => {
                write!(f, "lethe/v1/bucket/{deployment}/{}", expiry.as_seconds())
            }
            Self::Root {
                deployment,
                sequence,
                epoch,
            } => {
                write!(f, "lethe/v1/root/{deployment}/{sequence}/{epoch}")
            }
        }
    }
}

impl FromStr for KeyLabel {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let parts: Vec<&str> = text.split('/').collect();
        let label = match parts.as_slice() {
            ["lethe", "v1", "bucket", deployment, expiry] => Self::Bucket {
                deployment: deployment.parse().map_err(|_| LabelError)?,
                expiry: Expiry::from_seconds(expiry.parse().map_err(|_| LabelError)?),
            },
            ["lethe", "v1", "root", deployment, sequence, epoch] => Self::Root {
                deployment: deployment.parse().map_err(|_| LabelError)?,
                sequence: sequence.parse().map_err(|_| LabelError)?,
                epoch: epoch.parse().map_err(|_| LabelError)?,
            },
            _ => return Err(LabelError),
        };
        // Each number has one text: no `+7`, no leading zeros.
        if label.to_string() == text {
            Ok(label)
        } else {
            Err(LabelError)
        }
    }
}

/// A key found in the HSM: its id and what its label says. Both must match before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HsmKey {
    /// The key's `CKA_ID`: 16 random bytes.
    pub id: HsmKeyId,
    /// The key's `CKA_LABEL`.
    pub label: KeyLabel,
}

/// 32 bytes under AES-256-GCM of an HSM key: 12-byte IV, ciphertext and 16-byte tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// The IV. The caller or the device chooses it.
    pub iv: [u8; 12],
    /// 32 bytes of ciphertext, then the tag.
    pub ciphertext: [u8; 48],
}

/// One of the two claims of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimKind {
    /// The claim that says which store the deployment belongs to.
    Held,
    /// The challenge of a service that starts. A service that serves this deployment answers by
    /// removing it.
    Wanted,
}

/// What a signing key may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SigningPurpose {
    /// Receipts of shreds and expiries.
    Receipt,
    /// Checkpoints of the audit log.
    Checkpoint,
}

/// The public half of a signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationKey {
    /// `CKA_ID` of the pair.
    pub id: HsmKeyId,
    /// What the key signs.
    pub purpose: SigningPurpose,
    /// Ed25519 public key, 32 bytes.
    pub public_key: [u8; 32],
}

/// What the HSM reports about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HsmStatus {
    /// The token's label.
    pub token: String,
    /// The HSM's manufacturer and model.
    pub model: String,
    /// Number of objects on the token, of Lethe or others.
    pub objects: u64,
    /// The claim, as [`Hsm::claim`] returns it for [`ClaimKind::Held`].
    pub claim: Option<String>,
    /// Free private memory that the token reports, in a unit that the token chooses. Most tokens report
    /// none.
    pub free_memory: Option<u64>,
}

/// Why a call of the HSM failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HsmError {
    /// There is no device, no session, or no answer in time. The call may be tried again.
    #[error("the HSM does not answer: {0}")]
    Unavailable(String),
    /// The PIN is wrong or locked: trying again makes it worse.
    #[error("the HSM refuses the PIN: {0}")]
    Pin(String),
    /// The token has no room for another object.
    #[error("the HSM is full")]
    Full,
    /// There is no key with this id and label.
    #[error("no such key in the HSM")]
    NotFound,
    /// The ciphertext does not open under this key and associated data.
    #[error("does not open under this HSM key")]
    DoesNotOpen,
    /// More than one key has this id and label. Nothing was changed.
    #[error("more than one key of this id and label in the HSM")]
    Ambiguous,
    /// The device gave an answer that PKCS#11 does not allow here.
    #[error("the HSM failed: {0}")]
    Device(String),
}

/// A device with AES-256 keys that never leave it. Every call ends within the adapter's time limit. A
/// call that nobody waits for any more may still take effect, and its caller must allow for that.
#[async_trait]
pub trait Hsm: Send + Sync {
    /// Makes a sensitive, non-extractable, non-modifiable AES-256 token key with a new random id. If
    /// the answer is lost, the key may exist: [`Self::keys`] finds it by its label.
    async fn create_key(&self, label: KeyLabel) -> Result<HsmKey, HsmError>;

    /// All AES keys of a deployment, whatever their kind.
    async fn keys(&self, deployment: DeploymentId) -> Result<Vec<HsmKey>, HsmError>;

    /// Whether a key with this id and label exists. It takes a few round trips, however many objects
    /// the device has.
    async fn holds(&self, key: HsmKey) -> Result<bool, HsmError>;

    /// Encrypts 32 bytes by a key. Each HSM key encrypts one message in its life.
    async fn seal(
        &self,
        key: HsmKey,
        aad: &[u8],
        secret: &Secret32,
    ) -> Result<SealedSecret, HsmError>;

    /// Decrypts what [`Self::seal`] made. A failed tag is tried once more, then
    /// [`HsmError::DoesNotOpen`].
    async fn open(
        &self,
        key: HsmKey,
        aad: &[u8],
        sealed: &SealedSecret,
    ) -> Result<Secret32, HsmError>;

    /// Destroys a key found by id *and* label in the same session, and checks that it can no
    /// longer be found. [`HsmError::NotFound`] when it was not there.
    async fn destroy(&self, key: HsmKey) -> Result<(), HsmError>;

    /// The claim of a deployment: one text for each device that has a claim, so more than one only
    /// during a move.
    async fn claim(
        &self,
        deployment: DeploymentId,
        kind: ClaimKind,
    ) -> Result<Vec<String>, HsmError>;

    /// Sets or replaces the claim.
    async fn set_claim(
        &self,
        deployment: DeploymentId,
        kind: ClaimKind,
        text: &str,
    ) -> Result<(), HsmError>;

    /// The claims of all deployments in the device, of [`ClaimKind::Held`].
    async fn claims(&self) -> Result<Vec<(DeploymentId, String)>, HsmError>;

    /// Removes the claim of a deployment, and checks that none is left. It succeeds also if there was
    /// none.
    async fn remove_claim(&self, deployment: DeploymentId, kind: ClaimKind)
    -> Result<(), HsmError>;

    /// Makes an Ed25519 pair for a purpose.
    async fn create_signing_key(
        &self,
        deployment: DeploymentId,
        purpose: SigningPurpose,
    ) -> Result<VerificationKey, HsmError>;

    /// The public halves of all signing pairs of a deployment.
    async fn verification_keys(
        &self,
        deployment: DeploymentId,
    ) -> Result<Vec<VerificationKey>, HsmError>;

    /// Ids and purposes of all signing pairs of a deployment of which at least one half is there.
    async fn signing_pairs(
        &self,
        deployment: DeploymentId,
    ) -> Result<Vec<(HsmKeyId, SigningPurpose)>, HsmError>;

    /// Destroys both halves of a signing pair, the private one first, and checks that neither can be
    /// found. It succeeds also if a half was gone before.
    async fn destroy_signing_pair(
        &self,
        deployment: DeploymentId,
        id: HsmKeyId,
        purpose: SigningPurpose,
    ) -> Result<(), HsmError>;

    /// The Ed25519 signature of the pair `key` over `message`, 64 bytes.
    async fn sign(&self, key: HsmKeyId, message: &[u8]) -> Result<[u8; 64], HsmError>;

    /// Random bytes of the device.
    async fn random(&self, length: usize) -> Result<Vec<u8>, HsmError>;

    /// The state of the device. It takes a few round trips, however many objects the device has.
    async fn status(&self, deployment: DeploymentId) -> Result<HsmStatus, HsmError>;
}

/// Gives the signatures of all calls of [`Hsm`] to a macro, which implements them in one way. The types
/// must be in scope where it is used.
#[macro_export]
macro_rules! for_each_hsm_call {
    ($with:ident) => {
        $with! {
            create_key(label: KeyLabel) -> HsmKey;
            keys(deployment: DeploymentId) -> Vec<HsmKey>;
            holds(key: HsmKey) -> bool;
            seal(key: HsmKey, aad: &[u8], secret: &Secret32) -> SealedSecret;
            open(key: HsmKey, aad: &[u8], sealed: &SealedSecret) -> Secret32;
            destroy(key: HsmKey) -> ();
            claim(deployment: DeploymentId, kind: ClaimKind) -> Vec<String>;
            set_claim(deployment: DeploymentId, kind: ClaimKind, text: &str) -> ();
            claims() -> Vec<(DeploymentId, String)>;
            remove_claim(deployment: DeploymentId, kind: ClaimKind) -> ();
            create_signing_key(deployment: DeploymentId, purpose: SigningPurpose)
                -> VerificationKey;
            verification_keys(deployment: DeploymentId) -> Vec<VerificationKey>;
            signing_pairs(deployment: DeploymentId) -> Vec<(HsmKeyId, SigningPurpose)>;
            destroy_signing_pair(deployment: DeploymentId, id: HsmKeyId, purpose: SigningPurpose)
                -> ();
            sign(key: HsmKeyId, message: &[u8]) -> [u8; 64];
            random(length: usize) -> Vec<u8>;
            status(deployment: DeploymentId) -> HsmStatus;
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_one_spelling() {
        let deployment = DeploymentId::from_bytes([7; 16]);
        let bucket = KeyLabel::Bucket {
            deployment,
            expiry: Expiry::from_seconds(1_600_000_000),
        };
        let root = KeyLabel::Root {
            deployment,
            sequence: 3,
            epoch: 1,
        };
        for label in [bucket, root] {
            assert_eq!(label.to_string().parse(), Ok(label));
        }
        let padded = bucket.to_string().replace("/1600000000", "/01600000000");
        assert_eq!(padded.parse::<KeyLabel>(), Err(LabelError));
        assert_eq!("lethe/v2/root/x/1/1".parse::<KeyLabel>(), Err(LabelError));
    }
}
