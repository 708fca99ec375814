//! Buckets in the store and the HSM: made ahead of need, destroyed at their expiry.
//! `docs/design.md#buckets`.

mod expire;
mod moving;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::batch::{BatchError, Halt, Ports, signing_key};
use crate::grid;
use crate::identity::{DeploymentId, HsmKeyId};
use crate::keyspace::{Policy, Retention};
use crate::ports::{BucketRow, HsmError, HsmKey, KeyLabel, Strength};
use crate::secret::Secret32;
use crate::time::{Expiry, Timestamp};

pub use expire::{Reaped, expiry_receipt};

/// HSM calls in flight at once.
const CALLS: usize = 4;

/// Bucket keys that have become usable.
pub type BucketKeys = Vec<(Expiry, Arc<Secret32>)>;

/// The buckets that keys may get from now on until those made ahead are used up, with any retention of
/// the policy.
#[must_use]
pub fn required(policy: &Policy, now: Timestamp) -> BTreeSet<Expiry> {
    let of_one = |retention| required_for(policy, retention, now);
    policy.retentions().flat_map(of_one).collect()
}

fn required_for(
    policy: &Policy,
    retention: Retention,
    now: Timestamp,
) -> impl Iterator<Item = Expiry> {
    let width = policy.granularity_seconds().saturating_mul(1_000);
    let at = move |step| now.saturating_add(width.saturating_mul(step));
    (0..=policy.buckets_ahead()).map(move |step| grid::place(policy, retention, at(step)).expiry)
}

/// Whether a policy puts keys into the bucket of this expiry, now or within those made ahead.
#[must_use]
pub fn reaches(policy: &Policy, expiry: Expiry, now: Timestamp) -> bool {
    let longest = grid::longest_retention(policy, expiry);
    longest.is_some_and(|it| Some(expiry) <= required_for(policy, it, now).last())
}

/// The buckets of this deployment: their rows, and keys in the HSM without a row.
pub struct Buckets {
    deployment: DeploymentId,
    /// The key that signs receipts of expiries.
    signing_key: HsmKeyId,
    /// The buckets in the store: the key of each by its expiry.
    rows: BTreeMap<Expiry, HsmKeyId>,
    /// Keys in the HSM without a row. They are destroyed at the expiry in their label.
    orphans: BTreeSet<(Expiry, HsmKeyId)>,
    /// Whether the store may have rows that are not in `rows`, because a commit failed in an unknown
    /// state.
    uncertain: bool,
}

/// The buckets that were made.
#[derive(Debug, Default)]
pub struct Made {
    /// The new bucket keys, which can be used now.
    pub keys: BucketKeys,
    /// The first error, if any. The next call makes what is missing.
    pub failed: Option<BatchError>,
}

impl Buckets {
    /// Finds all buckets and opens those that have not expired.
    ///
    /// # Errors
    /// [`Halt::BucketKeyMissing`] and [`Halt::BucketDoesNotOpen`] for an unexpired row that the
    /// HSM cannot open: nothing is destroyed then.
    pub async fn load(
        ports: &Ports,
        deployment: DeploymentId,
        now: Timestamp,
    ) -> Result<(Self, BucketKeys), BatchError> {
        let mut in_hsm = bucket_keys(ports, deployment).await?;
        let rows = ports.store.buckets().await?;
        let live: Vec<_> = rows
            .iter()
            .filter(|row| !row.expiry.has_passed(now))
            .cloned()
            .collect();
        for row in &live {
            if !in_hsm.contains(&(row.expiry, row.key)) {
                return Err(Halt::BucketKeyMissing(row.expiry.as_seconds()).into());
            }
        }
        let keys = open_all(ports, deployment, live).await?;
        for row in &rows {
            in_hsm.remove(&(row.expiry, row.key));
        }
        let buckets = Self {
            deployment,
            signing_key: signing_key(ports, deployment).await?,
            rows: rows.iter().map(|row| (row.expiry, row.key)).collect(),
            orphans: in_hsm,
            uncertain: false,
        };
        Ok((buckets, keys))
    }

    /// Makes the buckets of `wanted` that are missing, and reads each back before it is used. If some
    /// fail, the others can be used.
    pub async fn make(&mut self, ports: &Ports, wanted: &BTreeSet<Expiry>) -> Made {
        let mut made = Made::default();
        made.failed = self.make_missing(ports, wanted, &mut made.keys).await.err();
        made
    }

    async fn make_missing(
        &mut self,
        ports: &Ports,
        wanted: &BTreeSet<Expiry>,
        keys: &mut BucketKeys,
    ) -> Result<(), BatchError> {
        keys.extend(self.adopt(ports).await?);
        let missing = wanted
            .iter()
            .filter(|expiry| !self.rows.contains_key(expiry));
        let missing: Vec<Expiry> = missing.copied().collect();
        if missing.is_empty() {
            return Ok(());
        }
        // A key in the HSM whose row cannot be written is left there: not while the store is away.
        ports.store.barrier(Strength::Answered).await?;
        let (rows, failed) = self.seal_new(ports, missing).await;
        if !rows.is_empty() {
            self.uncertain = true;
            ports.store.create_buckets(&rows).await?;
            keys.extend(self.adopt(ports).await?);
        }
        failed.map_or(Ok(()), Err)
    }

    /// The expiries of live buckets.
    #[must_use]
    pub fn live(&self, now: Timestamp) -> Vec<Expiry> {
        let rows = self.rows.keys().copied();
        rows.filter(|expiry| !expiry.has_passed(now)).collect()
    }

    /// The oldest bucket that has expired and is not destroyed yet.
    #[must_use]
    pub fn oldest_overdue(&self, now: Timestamp) -> Option<Expiry> {
        let row = self.rows.keys().next().copied();
        let orphan = self.orphans.first().map(|(expiry, _)| *expiry);
        let oldest = [row, orphan].into_iter().flatten().min();
        oldest.filter(|expiry| expiry.has_passed(now))
    }

    /// When the reaper has to run next.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Expiry> {
        self.rows.keys().next().copied()
    }

    /// Number of bucket keys in the HSM.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.rows.len() + self.orphans.len()
    }

    /// All buckets that have expired and are not destroyed yet.
    #[must_use]
    pub fn overdue(&self, now: Timestamp) -> Vec<(Expiry, HsmKeyId)> {
        let rows = self.rows.iter().map(|(expiry, key)| (*expiry, *key));
        let all = rows.chain(self.orphans.iter().copied());
        all.filter(|(expiry, _)| expiry.has_passed(now)).collect()
    }

    /// After a lost answer the store may have rows that are not in `rows`: reads them.
    async fn adopt(&mut self, ports: &Ports) -> Result<BucketKeys, BatchError> {
        if !self.uncertain {
            return Ok(Vec::new());
        }
        // The barrier: no key is issued from a row that a start might not find.
        ports.store.barrier(Strength::Answered).await?;
        let rows = ports.store.buckets().await?;
        let new: Vec<_> = rows
            .iter()
            .filter(|row| self.rows.get(&row.expiry) != Some(&row.key))
            .cloned()
            .collect();
        let keys = open_all(ports, self.deployment, new.clone()).await?;
        for row in new {
            self.orphans.remove(&(row.expiry, row.key));
            // A bucket that moved to another HSM leaves its old key behind.
            let before = self.rows.insert(row.expiry, row.key);
            self.orphans.extend(before.map(|key| (row.expiry, key)));
        }
        self.uncertain = false;
        Ok(keys)
    }

    /// The rows of the buckets that could be made, and the first error.
    async fn seal_new(
        &mut self,
        ports: &Ports,
        missing: Vec<Expiry>,
    ) -> (Vec<BucketRow>, Option<BatchError>) {
        let deployment = self.deployment;
        let made: Vec<_> = stream::iter(missing)
            .map(|expiry| seal_one(ports.clone(), deployment, expiry))
            .buffer_unordered(CALLS)
            .collect()
            .await;
        let (mut rows, mut failed) = (Vec::new(), None);
        for (key, sealed) in made {
            // A key without a row is destroyed at the expiry in its label.
            self.orphans.extend(key);
            match sealed {
                Ok(row) => rows.push(row),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        (rows, failed)
    }
}

/// The key, if it is certain that one was made, and the row.
type SealedBucket = (Option<(Expiry, HsmKeyId)>, Result<BucketRow, BatchError>);

async fn seal_one(ports: Ports, deployment: DeploymentId, expiry: Expiry) -> SealedBucket {
    let label = KeyLabel::Bucket { deployment, expiry };
    match ports.hsm.create_key(label).await {
        Ok(key) => {
            let sealed = seal_secret(&ports, deployment, expiry, key).await;
            (Some((expiry, key.id)), sealed)
        }
        Err(error) => (None, Err(error.into())),
    }
}

async fn seal_secret(
    ports: &Ports,
    deployment: DeploymentId,
    expiry: Expiry,
    key: HsmKey,
) -> Result<BucketRow, BatchError> {
    let secret = Secret32::try_filled(|bytes| ports.entropy.fill(bytes))?;
    let aad = bucket_aad(deployment, expiry, key.id);
    let sealed = ports.hsm.seal(key, &aad, &secret).await?;
    Ok(BucketRow {
        expiry,
        key: key.id,
        sealed,
    })
}

async fn open_all(
    ports: &Ports,
    deployment: DeploymentId,
    rows: Vec<BucketRow>,
) -> Result<BucketKeys, BatchError> {
    stream::iter(rows)
        .map(|row| open_one(ports.clone(), deployment, row))
        .buffer_unordered(CALLS)
        .try_collect()
        .await
}

async fn open_one(
    ports: Ports,
    deployment: DeploymentId,
    row: BucketRow,
) -> Result<(Expiry, Arc<Secret32>), BatchError> {
    let BucketRow {
        expiry,
        key: id,
        sealed,
    } = row;
    let key = bucket_key(deployment, expiry, id);
    let aad = bucket_aad(deployment, expiry, id);
    match ports.hsm.open(key, &aad, &sealed).await {
        Ok(secret) => Ok((expiry, Arc::new(secret))),
        Err(HsmError::NotFound) => Err(Halt::BucketKeyMissing(expiry.as_seconds()).into()),
        Err(HsmError::DoesNotOpen) => Err(Halt::BucketDoesNotOpen(expiry.as_seconds()).into()),
        Err(other) => Err(other.into()),
    }
}

async fn bucket_keys(
    ports: &Ports,
    deployment: DeploymentId,
) -> Result<BTreeSet<(Expiry, HsmKeyId)>, HsmError> {
    let keys = ports.hsm.keys(deployment).await?;
    let bucket = |key: HsmKey| match key.label {
        KeyLabel::Bucket { expiry, .. } => Some((expiry, key.id)),
        KeyLabel::Root { .. } => None,
    };
    Ok(keys.into_iter().filter_map(bucket).collect())
}

const fn bucket_key(deployment: DeploymentId, expiry: Expiry, id: HsmKeyId) -> HsmKey {
    HsmKey {
        id,
        label: KeyLabel::Bucket { deployment, expiry },
    }
}

/// Associated data for the encryption of a bucket secret by its HSM key.
#[must_use]
pub fn bucket_aad(deployment: DeploymentId, expiry: Expiry, key: HsmKeyId) -> Vec<u8> {
    [
        b"lethe/v1/bucket".as_slice(),
        deployment.as_bytes(),
        &expiry.as_seconds().to_be_bytes(),
        key.as_bytes(),
    ]
    .concat()
}
