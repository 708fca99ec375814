//! Buckets move to another HSM: the same secret under a new key there, then the old key dies.

use std::collections::{BTreeMap, HashSet};

use futures_util::stream::{self, StreamExt};

use super::{BucketKeys, Buckets, CALLS, bucket_aad, bucket_key, open_one};
use crate::batch::{BatchError, Halt, Ports, check_ours, destroy};
use crate::hsm_move::Pair;
use crate::identity::{DeploymentId, HsmKeyId};
use crate::ports::{BucketRow, Hsm, HsmKey, KeyLabel};
use crate::time::Expiry;

/// Buckets that are moved at a time: others wait for their turn meanwhile.
const AT_A_TIME: usize = 16;

/// The key that was made, if one surely was; the old key and the new row.
type Moved = (
    Option<(Expiry, HsmKeyId)>,
    Result<(HsmKeyId, BucketRow), BatchError>,
);

impl Buckets {
    /// Expiries of buckets whose keys are in this HSM.
    ///
    /// # Errors
    /// Of the HSM.
    pub async fn in_hsm(&self, hsm: &dyn Hsm) -> Result<Vec<Expiry>, BatchError> {
        let keys = hsm.keys(self.deployment).await?;
        let held: HashSet<HsmKeyId> = keys.iter().map(|key| key.id).collect();
        let here = self.rows.iter().filter(|(_, key)| held.contains(key));
        Ok(here.map(|(expiry, _)| *expiry).collect())
    }

    /// With a row or without one.
    pub(super) fn keys_of(&self, expiry: Expiry) -> Vec<HsmKeyId> {
        let orphans = self.orphans.iter().filter(|(of, _)| *of == expiry);
        let orphans = orphans.map(|(_, key)| *key);
        let row = self.rows.get(&expiry).copied();
        row.into_iter().chain(orphans).collect()
    }

    /// All buckets.
    #[must_use]
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    /// Receipts of expiries are signed by this key from now on.
    pub const fn sign_with(&mut self, key: HsmKeyId) {
        self.signing_key = key;
    }

    /// Moves the last of `left`, and takes from it what is done. Each secret is opened in the new
    /// HSM, and its row read back, before the old key is destroyed. `usable` gets the keys that the
    /// store turns out to hold.
    ///
    /// # Errors
    /// [`BatchError`]; what was done stays done. Then, and when `left` comes back empty, look anew
    /// what is left.
    pub async fn move_some(
        &mut self,
        ports: &Ports,
        pair: &Pair,
        left: &mut Vec<Expiry>,
        usable: &mut BucketKeys,
    ) -> Result<(), BatchError> {
        if self.uncertain {
            // An answer was lost: the store may name other keys than we know.
            left.clear();
            usable.extend(self.adopt(ports).await?);
            return Ok(());
        }
        let some = left.split_off(left.len().saturating_sub(AT_A_TIME));
        let mut rows = ports.store.buckets().await?;
        rows.retain(|row| some.contains(&row.expiry));
        let (replacements, failed) = self.seal_in(ports, pair, rows).await;
        self.replace(ports, &replacements).await?;
        check_ours(ports, self.deployment).await?;
        for (old, row) in &replacements {
            let key = bucket_key(self.deployment, row.expiry, *old);
            destroy(ports, key).await?;
            self.orphans.remove(&(row.expiry, *old));
        }
        failed.map_or(Ok(()), Err)
    }

    /// The same secrets under keys of the new HSM; the first error of those that could not be made.
    async fn seal_in(
        &mut self,
        ports: &Ports,
        pair: &Pair,
        rows: Vec<BucketRow>,
    ) -> (Vec<(HsmKeyId, BucketRow)>, Option<BatchError>) {
        let deployment = self.deployment;
        let sealed: Vec<Moved> = stream::iter(rows)
            .map(|row| move_one(ports.clone(), pair.clone(), deployment, row))
            .buffer_unordered(CALLS)
            .collect()
            .await;
        let (mut replacements, mut failed) = (Vec::new(), None);
        for (key, replacement) in sealed {
            // A key without a row dies with its label.
            self.orphans.extend(key);
            match replacement {
                Ok(replacement) => replacements.push(replacement),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        (replacements, failed)
    }

    /// In the store, and read back: each was opened in the new HSM with just these bytes. The old
    /// keys are without a row then.
    async fn replace(
        &mut self,
        ports: &Ports,
        replacements: &[(HsmKeyId, BucketRow)],
    ) -> Result<(), BatchError> {
        if replacements.is_empty() {
            return Ok(());
        }
        self.uncertain = true;
        ports.store.replace_buckets(replacements).await?;
        ports.store.barrier().await?;
        let rows = ports.store.buckets().await?;
        let rows: BTreeMap<Expiry, BucketRow> =
            rows.into_iter().map(|row| (row.expiry, row)).collect();
        for (old, row) in replacements {
            let expiry = row.expiry;
            if rows.get(&expiry) != Some(row) {
                return Err(Halt::BucketDoesNotOpen(expiry.as_seconds()).into());
            }
            self.rows.insert(expiry, row.key);
            self.orphans.remove(&(expiry, row.key));
            self.orphans.insert((expiry, *old));
        }
        self.uncertain = false;
        Ok(())
    }
}

async fn move_one(ports: Ports, pair: Pair, deployment: DeploymentId, row: BucketRow) -> Moved {
    let (expiry, old) = (row.expiry, row.key);
    let secret = match open_one(ports, deployment, row).await {
        Ok((_, secret)) => secret,
        Err(error) => return (None, Err(error)),
    };
    let label = KeyLabel::Bucket { deployment, expiry };
    let key: HsmKey = match pair.to.create_key(label).await {
        Ok(key) => key,
        Err(error) => return (None, Err(error.into())),
    };
    let made = Some((expiry, key.id));
    let aad = bucket_aad(deployment, expiry, key.id);
    let sealed = match pair.to.seal(key, &aad, &secret).await {
        Ok(sealed) => sealed,
        Err(error) => return (made, Err(error.into())),
    };
    let opened = match pair.to.open(key, &aad, &sealed).await {
        Ok(opened) => opened,
        Err(error) => return (made, Err(error.into())),
    };
    if !opened.same_as(&secret) {
        let error = Halt::BucketDoesNotOpen(expiry.as_seconds());
        return (made, Err(error.into()));
    }
    let key = key.id;
    let row = BucketRow {
        expiry,
        key,
        sealed,
    };
    (made, Ok((old, row)))
}
