//! A deployment moves to another HSM while it serves: claim and signing keys first, then bucket by
//! bucket, then the root by a batch; in the end the old HSM is emptied.
//!
//! From the moment the store says that a move is under way, [`Devices`] looks for keys in both and
//! makes new ones in the new one, so everything else goes on as ever. Every step can be done again:
//! what is left to do is seen in store and HSMs, after a crash as well.

mod begin;
mod devices;
mod empty;
mod locate;

use crate::batch::BatchError;
use crate::identity::{DeploymentId, HsmKeyId};
use crate::ports::{Hsm, HsmError, SigningPurpose, Store, VerificationKey};
use crate::succession::PublishedKey;

pub use begin::begin;
pub use devices::{Devices, Pair};
pub use empty::empty;
pub use locate::{Located, Opened, locate};

/// Why a move does not begin: nothing was changed but perhaps in the new HSM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotMoved {
    /// Whose keys would lie beside ours?
    #[error("the new HSM is claimed by another deployment ({0})")]
    OtherDeployment(DeploymentId),
    /// A copy of this deployment may use it.
    #[error("the new HSM is claimed for this deployment by another store ({0})")]
    OtherStore(String),
    /// Or a clone of it: destroying there what was made here would destroy everything.
    #[error(
        "the new HSM holds the signing key of the present one: it is the same device, or a clone"
    )]
    SameDevice,
    /// Left by whom?
    #[error("the new HSM holds {0} keys of this deployment already: it has to be empty")]
    NotEmpty(usize),
    /// The new HSM's signatures do not verify.
    #[error("the new HSM does not make valid Ed25519 signatures")]
    BadSignature,
    /// The approval was withdrawn, has ended, or was given before.
    #[error("the approval does not wait any more")]
    NotWaiting,
    /// Store or HSM failed.
    #[error(transparent)]
    Batch(#[from] BatchError),
}

impl From<HsmError> for NotMoved {
    fn from(error: HsmError) -> Self {
        Self::Batch(error.into())
    }
}

impl From<crate::ports::StoreError> for NotMoved {
    fn from(error: crate::ports::StoreError) -> Self {
        Self::Batch(error.into())
    }
}

/// All verification keys, in order of succession: those in the HSM alone while it is the first.
///
/// # Errors
/// Those of the ports.
pub async fn published_keys(
    store: &dyn Store,
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

/// The newest key of a purpose that the device holds, of those published; of any when none is
/// published yet.
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

/// The id of the newest published key that signs receipts: the HSM that holds it is the deployment's.
fn newest_receipt_key(published: &[PublishedKey]) -> Option<HsmKeyId> {
    let mut newest_first = published.iter().rev();
    let receipts = newest_first.find(|it| it.key.purpose == SigningPurpose::Receipt);
    receipts.map(|it| it.key.id)
}
