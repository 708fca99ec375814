//! The protocol by which the forgetting trees change (`docs/design.md#batch`). Each step is a type that only
//! the step before can make, so a wrong order does not compile.
//!
//! ```text
//! Current -> Rooted -> Committed -> Flushed -> ReadBack -> Acknowledged -> Swept -> Current
//!   step 1       2, 3           4           5              6              7        8
//! ```
//!
//! After a failed step there is no value to go on with: [`Opened::open`] and [`Opened::recover`] find out the
//! present state.

mod commit;
mod commitments;
mod current;
mod epoch;
mod finished;
mod lease_holders;
mod load;
mod opened;
mod read_back;
mod reader;
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
pub use current::Current;
pub(crate) use current::signing_key;
pub use epoch::Epoch;
pub use finished::Finished;
pub use lease_holders::{LeaseHolders, NewState};
pub use load::{Overlay, load};
pub use opened::{Opened, Recovered};
pub use reader::Reader;
pub use work::{NewVersion, Work};

/// The ports that the use cases call.
#[derive(Clone)]
pub struct Ports {
    /// The HSM.
    pub hsm: Arc<dyn Hsm>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The claim that this process has taken.
    pub claim: Arc<OwnClaim>,
    /// How long keys are served while the HSM is away; none means without a limit.
    pub max_outage: Option<Duration>,
}

/// The node that runs a batch: its ports, its cache, and the nodes that hold a lease.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    /// The ports.
    pub ports: &'a Ports,
    /// The cache of pages.
    pub pages: &'a PageCache,
    /// All nodes that serve keys.
    pub holders: &'a dyn LeaseHolders,
}

/// Why the service stops without changing anything: a person has to decide which state is right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// `lethe init` was not run, or did not finish.
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
    /// Another process serves a copy of this store.
    #[error(
        "the HSM is claimed by another copy of this store, which is served now: it answered. Nothing was changed"
    )]
    Served,
    /// The HSM holds keys that a newer copy of the store made.
    #[error(
        "the HSM is claimed by a service that was not stopped in order, and holds {0} bucket keys that this copy of the store does not know: a newer copy has gone on. Look for it; only if this is the very database that was served last, run `lethe takeover --interrupted`. Nothing was changed"
    )]
    GoneOn(usize),
    /// The HSM has no claim of this deployment.
    #[error("the HSM holds no claim of this deployment: is it the right HSM?")]
    NoClaim,
    /// The store's root is not in the HSM, or does not open the directory key.
    #[error(
        "the store's root {0} does not open in the HSM: an old copy of the store, or the wrong HSM. Nothing was destroyed"
    )]
    RootDoesNotOpen(String),
    /// The directory does not open with the key that the root opened.
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
    /// A leaf, version or keyspace that was to be destroyed is still there after the commit.
    #[error(
        "the store does not hold what was committed to it: it is damaged. Nothing was destroyed"
    )]
    NotForgotten,
    /// The HSM has no key to sign receipts with.
    #[error("the HSM lacks the signing key of receipts: is it the right HSM?")]
    NoSigningKey,
    /// The configuration does not name both HSMs of a move.
    #[error(
        "a move to another HSM is under way: until it is done [hsm] has to name the old HSM and [hsm_next] the new one. Nothing was destroyed"
    )]
    MoveUnfinished,
    /// The configuration names an HSM that the deployment has left, or never was in.
    #[error(
        "the deployment has moved to another HSM: name that one in [hsm]. Nothing was destroyed"
    )]
    MovedAway,
    /// A row that this service did not write, or one that is missing.
    #[error(
        "somebody has altered the store: {0} is not as this service wrote it. Nothing was destroyed, and nothing signed"
    )]
    Altered(String),
    /// A batch names erasures that the store does not hold.
    #[error("the store lacks requests that were accepted: it is damaged")]
    ErasuresMissing,
    /// The root of the present state is not in the HSM any more.
    #[error(
        "root {0}, which this service made last, is not in the HSM any more: another copy of the store is served, or somebody destroyed it. Nothing was destroyed"
    )]
    OwnRootGone(String),
    /// The HSM has a root that should be destroyed, or that is unknown.
    #[error(
        "root {0} is in the HSM beside the current one: another leader, or a destroy that did not destroy"
    )]
    ForeignRoot(String),
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Trying again may help, after [`Opened::recover`].
    #[error(transparent)]
    Hsm(#[from] HsmError),
    /// Trying again may help, after [`Opened::recover`].
    #[error(transparent)]
    Store(StoreError),
    /// Trying again may help.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The service has to stop.
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

/// Destroys a key. A key that does not exist counts as destroyed.
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

/// Checks that the HSM names our store, and holds the root that our store names. It is called every few
/// seconds and before anything is destroyed. Only a batch of ours destroys that root, after its commit.
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
        // A batch may have replaced the root since the row was read: check again.
        if missing == Some(root) {
            return Err(Halt::OwnRootGone(root.id.to_string()).into());
        }
        missing = Some(root);
    }
}

/// Checks that the HSM has the claim that this process has taken, and no other.
pub(crate) async fn check_claim(ports: &Ports, deployment: DeploymentId) -> Result<(), BatchError> {
    let ours = ports.claim.text()?;
    let claims = match ports.hsm.claim(deployment, ClaimKind::Held).await {
        // Two processes started at the same time.
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
