//! Moves buckets to another HSM: the same secret is encrypted by a new key there, then the old key is
//! destroyed.

use std::collections::{BTreeMap, HashSet};

use futures_util::stream::{self, StreamExt};

use super::{BucketKeys, Buckets, CALLS, bucket_aad, bucket_key, open_one};
use crate::batch::{BatchError, Halt, Ports, check_ours, destroy};
use crate::hsm_move::Pair;
use crate::identity::{DeploymentId, HsmKeyId};
use crate::ports::{BucketRow, Hsm, HsmKey, KeyLabel, Strength};
use crate::time::Expiry;

/// Most buckets that are moved at once, so that other work is not delayed for long.
const AT_A_TIME: usize = 16;

/// The new key, if it is certain that one was made; the old key; and the new row.
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

    /// Keys count with a row or without one.
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

    /// Sets the key that signs receipts of expiries from now on.
    pub const fn sign_with(&mut self, key: HsmKeyId) {
        self.signing_key = key;
    }

    /// Moves the last buckets of `left`, and removes from it those that are done. Each secret is opened
    /// in the new HSM, and its row is read back, before the old key is destroyed. `usable` gets keys of
    /// buckets that are found in the store.
    ///
    /// # Errors
    /// [`BatchError`]; what was done stays done. After an error, and when `left` is empty, find out
    /// again what is left.
    pub async fn move_some(
        &mut self,
        ports: &Ports,
        pair: &Pair,
        left: &mut Vec<Expiry>,
        usable: &mut BucketKeys,
    ) -> Result<(), BatchError> {
        if self.uncertain {
            // After a lost answer the store may have other keys than `rows`.
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

    /// Encrypts the secrets by keys of the new HSM. Returns those that could be made, and the first
    /// error.
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

    /// Writes the rows and reads them back: each was opened in the new HSM with exactly these bytes.
    /// After that the old keys have no row.
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
        ports.store.barrier(Strength::Destroying).await?;
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
