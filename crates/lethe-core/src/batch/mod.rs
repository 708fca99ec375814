//! The protocol by which the forgetting trees change (`docs/design.md#batch`), as a typestate:
//! each step consumes the one before, so the wrong order does not compile.
//!
//! ```text
//! Current -> Rooted -> Committed -> Flushed -> ReadBack -> Acknowledged -> Swept -> Current
//!   step 1       2, 3           4           5              6              7        8
//! ```
//!
//! A step that fails leaves nothing to go on with: [`Current::recover`] finds out what holds.

mod commit;
mod commitments;
mod current;
mod finished;
mod lease_holders;
mod load;
mod read_back;
mod sign;
mod sweep;
mod work;

use std::sync::Arc;
use std::time::Duration;

use crate::claim::OwnClaim;
use crate::identity::DeploymentId;
use crate::page_cache::PageCache;
use crate::ports::{
    ClaimKind, Clock, Entropy, EntropyError, Hsm, HsmError, HsmKey, KeyLabel, Store, StoreError,
};

pub use commitments::{IssueRules, check_keyspaces, checked_keyspaces};
pub(crate) use current::signing_key;
pub use current::{Current, Recovered};
pub use finished::Finished;
pub use lease_holders::{LeaseHolders, NewState};
pub use load::{Overlay, load};
pub use work::{NewVersion, Work};

/// The outside, as the use cases see it.
#[derive(Clone)]
pub struct Ports {
    /// The device.
    pub hsm: Arc<dyn Hsm>,
    /// What outlives the process.
    pub store: Arc<dyn Store>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Steady time.
    pub clock: Arc<dyn Clock>,
    /// The claim that this process has taken.
    pub claim: Arc<OwnClaim>,
    /// How long keys are served while the HSM is away; none: for ever.
    pub max_outage: Option<Duration>,
}

/// A node at work on a batch: the outside, what it has in memory, and who else has.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    /// The outside.
    pub ports: &'a Ports,
    /// Pages in memory.
    pub pages: &'a PageCache,
    /// Everybody who serves keys.
    pub holders: &'a dyn LeaseHolders,
}

/// What nobody can tell the right of without a person: the service stops and touches nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// `lethe init` was never run, or not to its end.
    #[error("the deployment is not initialised: run `lethe init`")]
    NotInitialised,
    /// The HSM belongs to a deployment with another store, or to another copy of this one.
    #[error(
        "the HSM is claimed by another store, or another copy of this one ({claimed}); this one is {ours}. If it was moved or put back on purpose, run `lethe takeover`. Nothing was destroyed"
    )]
    ForeignClaim {
        /// What the HSM says.
        claimed: String,
        /// What this store is.
        ours: String,
    },
    /// Another copy of the store answered.
    #[error(
        "the HSM is claimed by another copy of this store, which is served now: it answered. Nothing was changed"
    )]
    Served,
    /// The HSM holds what a newer copy of the store made.
    #[error(
        "the HSM is claimed by a service that was not stopped in order, and holds {0} bucket keys that this copy of the store does not know: a newer copy has gone on. Look for it; only if this is the very database that was served last, run `lethe takeover --interrupted`. Nothing was changed"
    )]
    GoneOn(usize),
    /// The claim is gone from the HSM.
    #[error("the HSM holds no claim of this deployment: is it the right HSM?")]
    NoClaim,
    /// The store's root is not in the HSM, or does not open the directory key.
    #[error(
        "the store's root {0} does not open in the HSM: an old copy of the store, or the wrong HSM. Nothing was destroyed"
    )]
    RootDoesNotOpen(String),
    /// Directory and root do not belong together.
    #[error(
        "the directory of the store does not open: the store is damaged. Nothing was destroyed"
    )]
    DirectoryDoesNotOpen,
    /// Tables and directory name different key versions.
    #[error("keyspaces and directory of the store disagree: the store is damaged")]
    DirectoryDisagrees,
    /// An unexpired bucket's key is not in the HSM.
    #[error(
        "the HSM lacks the key of the bucket that expires at {0} (Unix seconds): an old copy of the store or of the HSM. Nothing was destroyed"
    )]
    BucketKeyMissing(u64),
    /// An unexpired bucket does not open.
    #[error(
        "the bucket that expires at {0} (Unix seconds) does not open in the HSM: store or HSM is damaged"
    )]
    BucketDoesNotOpen(u64),
    /// A page of a forgetting tree is not what its parent says.
    #[error(
        "a page of the forgetting tree is missing or does not open: the store is damaged. Nothing was destroyed"
    )]
    PageDoesNotOpen,
    /// What was to be forgotten is still there after the commit.
    #[error(
        "the store does not hold what was committed to it: it is damaged. Nothing was destroyed"
    )]
    NotForgotten,
    /// The HSM has no key to sign receipts with.
    #[error("the HSM lacks the signing key of receipts: is it the right HSM?")]
    NoSigningKey,
    /// A move to another HSM takes both.
    #[error(
        "a move to another HSM is under way: until it is done [hsm] has to name the old HSM and [hsm_next] the new one. Nothing was destroyed"
    )]
    MoveUnfinished,
    /// The configuration names an HSM that the deployment has left, or never was in.
    #[error(
        "the deployment has moved to another HSM: name that one in [hsm]. Nothing was destroyed"
    )]
    MovedAway,
    /// A row that authenticates as nothing that was written, or one that is gone.
    #[error(
        "somebody has altered the store: {0} is not as this service wrote it. Nothing was destroyed, and nothing signed"
    )]
    Altered(String),
    /// A batch names erasures that the store does not hold.
    #[error("the store lacks requests that were accepted: it is damaged")]
    ErasuresMissing,
    /// The root of the present state has gone from under the service.
    #[error(
        "root {0}, which this service made last, is not in the HSM any more: another copy of the store is served, or somebody destroyed it. Nothing was destroyed"
    )]
    OwnRootGone(String),
    /// A root that should be gone, or that nobody knows of, is in the HSM.
    #[error(
        "root {0} is in the HSM beside the current one: another leader, or a destroy that did not destroy"
    )]
    ForeignRoot(String),
}

/// Why a step was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Trying again may help, after [`Current::recover`].
    #[error(transparent)]
    Hsm(#[from] HsmError),
    /// Trying again may help, after [`Current::recover`].
    #[error(transparent)]
    Store(StoreError),
    /// Trying again may help.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// A person has to look.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl From<StoreError> for BatchError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Altered(row) => Self::Halt(Halt::Altered(row)),
            error => Self::Store(error),
        }
    }
}

/// Gone already is as good.
pub(crate) async fn destroy(ports: &Ports, key: HsmKey) -> Result<(), HsmError> {
    match ports.hsm.destroy(key).await {
        Err(HsmError::NotFound) => Ok(()),
        done => done,
    }
}

/// All roots of the deployment with their epochs.
async fn roots(ports: &Ports, deployment: DeploymentId) -> Result<Vec<(HsmKey, u64)>, HsmError> {
    let keys = ports.hsm.keys(deployment).await?;
    let epoch = |key: HsmKey| match key.label {
        KeyLabel::Root { epoch, .. } => Some((key, epoch)),
        KeyLabel::Bucket { .. } => None,
    };
    Ok(keys.into_iter().filter_map(epoch).collect())
}

/// Before anything is destroyed, and every few seconds: the HSM names our store, and holds the root
/// that our store names. Nobody destroys that root but a batch of ours, after its commit.
///
/// # Errors
/// [`Halt::ForeignClaim`], [`Halt::NoClaim`], [`Halt::OwnRootGone`].
pub async fn check_ours(ports: &Ports, deployment: DeploymentId) -> Result<(), BatchError> {
    check_claim(ports, deployment).await?;
    let mut missing = None;
    loop {
        let meta = ports.store.meta().await?.ok_or(Halt::NotInitialised)?;
        let root = meta.root(deployment);
        if ports.hsm.holds(root).await? {
            return Ok(());
        }
        // A batch may have replaced it since it was read.
        if missing == Some(root) {
            return Err(Halt::OwnRootGone(root.id.to_string()).into());
        }
        missing = Some(root);
    }
}

/// The HSM must bear the claim that this process has taken, and no other.
pub(crate) async fn check_claim(ports: &Ports, deployment: DeploymentId) -> Result<(), BatchError> {
    let ours = ports.claim.text()?;
    let claims = match ports.hsm.claim(deployment, ClaimKind::Held).await {
        // Two starts met.
        Err(HsmError::Ambiguous) => vec!["two claims of one number".to_owned()],
        found => found?,
    };
    if claims.is_empty() {
        return Err(Halt::NoClaim.into());
    }
    match claims.into_iter().find(|claim| *claim != ours) {
        Some(claimed) => Err(Halt::ForeignClaim { claimed, ours }.into()),
        None => Ok(()),
    }
}
