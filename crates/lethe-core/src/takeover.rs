//! What `lethe takeover` does: the claim in the HSM is given to the store at hand, on purpose, after
//! it was moved. Only the store that the HSM's present root opens can have it, and it gets a new root
//! at once, so that no copy left behind opens any more.

use std::collections::HashSet;

use crate::batch::{BatchError, Epoch, Halt, Node, Opened, Ports, Reader};
use crate::claim::{self, StoreLocation};
use crate::identity::{DeploymentId, HsmKeyId};
use crate::initialise::Nobody;
use crate::page_cache::{CacheLimits, PageCache};
use crate::ports::{ClaimKind, HsmKey, KeyLabel};
use crate::time::Expiry;

/// Why nothing was taken over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TakeoverError {
    /// The store does not belong to what is in the HSM, or a port failed.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The HSM holds what the store does not know of.
    #[error(
        "the HSM holds {roots} roots and {buckets} bucket keys that this database does not know: the old service was cut off in the middle of its work, or another copy of the database has gone on. Only if this is the very database that was served last, say --interrupted. Nothing was changed"
    )]
    Unknown {
        /// Roots newer than the store's.
        roots: usize,
        /// Keys of buckets that have not expired.
        buckets: usize,
    },
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The claim names this store already.
    Ours(DeploymentId),
    /// It can be moved.
    Elsewhere(Takeover),
}

/// A claim that can be moved: the store opens under the HSM's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Takeover {
    /// Whose claim it is.
    pub deployment: DeploymentId,
    /// What the HSM says.
    pub from: String,
    /// Where the store at hand is.
    pub to: StoreLocation,
}

/// Looks whether the store at hand may have the claim; changes nothing. `interrupted`: somebody says
/// that it is the very store that was served last, so what it does not know of was never finished.
/// `earlier` as in [`claim::examine`].
///
/// # Errors
/// [`Halt::RootDoesNotOpen`] for an old copy, [`Halt::NoClaim`] for another HSM,
/// [`TakeoverError::Unknown`] where nobody can tell.
pub async fn look(
    ports: &Ports,
    interrupted: bool,
    earlier: Option<&str>,
) -> Result<Found, TakeoverError> {
    match claim::examine(ports, earlier).await {
        Ok(candidate) if candidate.wait().is_none() => {
            return Ok(Found::Ours(candidate.deployment()));
        }
        Ok(_) | Err(BatchError::Halt(Halt::ForeignClaim { .. })) => {}
        Err(other) => return Err(other.into()),
    }
    let opened = Opened::open(Reader::of(ports)).await?;
    let deployment = opened.deployment();
    let claims = ports.hsm.claim(deployment, ClaimKind::Held).await;
    let from = claims.map_err(BatchError::from)?.into_iter().next();
    let from = from.ok_or(BatchError::Halt(Halt::NoClaim))?;
    let keys = ports.hsm.keys(deployment).await.map_err(BatchError::from)?;
    let buckets = unknown_buckets(ports, &keys).await?;
    let newer = |key: &&HsmKey| is_newer_root(key, opened.sequence());
    let roots = keys.iter().filter(newer).count();
    if !interrupted && roots + buckets > 0 {
        return Err(TakeoverError::Unknown { roots, buckets });
    }
    Ok(Found::Elsewhere(Takeover {
        deployment,
        from,
        to: ports.store.location().clone(),
    }))
}

/// Moves the claim and makes a new root; gives its sequence. The claim is free then: the next start
/// takes it.
///
/// # Errors
/// Those of the ports; afterwards [`look`] tells whose the claim is.
pub async fn take(ports: &Ports, takeover: &Takeover) -> Result<u64, BatchError> {
    claim::seize(ports, takeover.deployment).await?;
    let node = Node {
        ports,
        pages: &PageCache::new(CacheLimits::default()),
        holders: &Nobody,
    };
    // The claim is looked at in here, before anything is destroyed.
    let epoch = Epoch::next(ports).await?;
    let opened = Opened::open(Reader::of(ports)).await?;
    let recovered = opened.take_over(node, epoch).await?;
    // The store names a root now that only this process knows.
    claim::confirm(ports, takeover.deployment).await?;
    claim::release(ports, takeover.deployment).await?;
    Ok(recovered.current.sequence())
}

/// Keys of unexpired buckets that the store does not know. The other way round a start would halt.
pub(crate) async fn unknown_buckets(ports: &Ports, keys: &[HsmKey]) -> Result<usize, BatchError> {
    let now = ports.clock.now();
    let rows = ports.store.buckets().await?;
    let live = rows.iter().filter(|row| !row.expiry.has_passed(now));
    let known: HashSet<_> = live.map(|row| (row.expiry, row.key)).collect();
    let in_hsm: HashSet<_> = keys.iter().filter_map(bucket).collect();
    if let Some((expiry, _)) = known.difference(&in_hsm).min() {
        return Err(Halt::BucketKeyMissing(expiry.as_seconds()).into());
    }
    let unknown = in_hsm.difference(&known);
    Ok(unknown
        .filter(|(expiry, _)| !expiry.has_passed(now))
        .count())
}

const fn bucket(key: &HsmKey) -> Option<(Expiry, HsmKeyId)> {
    match key.label {
        KeyLabel::Bucket { expiry, .. } => Some((expiry, key.id)),
        KeyLabel::Root { .. } => None,
    }
}

const fn is_newer_root(key: &HsmKey, present: u64) -> bool {
    matches!(key.label, KeyLabel::Root { sequence, .. } if sequence > present)
}
