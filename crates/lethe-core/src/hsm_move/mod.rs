//! Moves a deployment to another HSM while it serves. The claim and the signing keys are moved first, then
//! each bucket, then the root by a batch. In the end the old HSM is emptied.
//!
//! While the store says that a move is under way, [`Devices`] looks for keys in both HSMs and makes new
//! keys in the new one, so the rest of the service needs no change. Every step can be repeated: store and
//! HSMs show what is left to do, also after a crash.

mod begin;
mod devices;
mod empty;
mod locate;

use crate::batch::BatchError;
use crate::identity::{DeploymentId, HsmKeyId};
use crate::ports::{Hsm, HsmError, HsmMoveStore, SigningPurpose, VerificationKey};
use crate::succession::PublishedKey;

pub use begin::begin;
pub use devices::{Devices, Pair};
pub use empty::empty;
pub use locate::{Located, Opened, locate};

/// Why a move did not begin. The store and the old HSM are unchanged; the new HSM may hold new objects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HsmMoveError {
    /// The new HSM belongs to another deployment.
    #[error("the new HSM is claimed by another deployment ({0})")]
    OtherDeployment(DeploymentId),
    /// A copy of this deployment may use the new HSM.
    #[error("the new HSM is claimed for this deployment by another store ({0})")]
    OtherStore(String),
    /// Old and new HSM are one device or clones: emptying the old one would destroy every key.
    #[error(
        "the new HSM holds the signing key of the present one: it is the same device, or a clone"
    )]
    SameDevice,
    /// The new HSM has keys that no earlier try of this move made; their number.
    #[error("the new HSM holds {0} keys of this deployment already: it has to be empty")]
    NotEmpty(usize),
    /// A signature of the new HSM does not verify.
    #[error("the new HSM does not make valid Ed25519 signatures")]
    BadSignature,
    /// The approval was withdrawn, has ended, or was approved before.
    #[error("the approval does not wait any more")]
    NotWaiting,
    /// The store or an HSM failed.
    #[error(transparent)]
    Batch(#[from] BatchError),
}

impl From<HsmError> for HsmMoveError {
    fn from(error: HsmError) -> Self {
        Self::Batch(error.into())
    }
}

impl From<crate::ports::StoreError> for HsmMoveError {
    fn from(error: crate::ports::StoreError) -> Self {
        Self::Batch(error.into())
    }
}

/// All verification keys, in order of succession. Before the first move these are the keys in the HSM.
///
/// # Errors
/// Those of the ports.
pub async fn published_keys(
    store: &dyn HsmMoveStore,
    hsm: &dyn Hsm,
    deployment: DeploymentId,
) -> Result<Vec<PublishedKey>, BatchError> {
    let published = store.signing_keys().await?;
    if !published.is_empty() {
        return Ok(published);
    }
    let mut keys = hsm.verification_keys(deployment).await?;
    keys.sort_unstable_by_key(|key| (key.purpose, key.id));
    Ok(keys.into_iter().map(PublishedKey::from).collect())
}

/// The newest published key of a purpose that the HSM holds; if no key is published yet, the one that the
/// HSM holds.
pub(crate) fn newest<'k>(
    published: &[PublishedKey],
    held: &'k [VerificationKey],
    purpose: SigningPurpose,
) -> Option<&'k VerificationKey> {
    let mut held = held.iter().filter(|key| key.purpose == purpose);
    if published.is_empty() {
        return held.min_by_key(|key| key.id);
    }
    let held: Vec<_> = held.by_ref().collect();
    let newest_first = published.iter().rev();
    newest_first
        .filter_map(|it| held.iter().find(|key| ***key == it.key).copied())
        .next()
}

/// The id of the newest published key that signs receipts. The HSM that holds it is the deployment's.
fn newest_receipt_key(published: &[PublishedKey]) -> Option<HsmKeyId> {
    let mut newest_first = published.iter().rev();
    let receipts = newest_first.find(|it| it.key.purpose == SigningPurpose::Receipt);
    receipts.map(|it| it.key.id)
}
