//! Buckets expire: their keys are destroyed, and each destruction is signed.

use super::{Buckets, bucket_key};
use crate::batch::{BatchError, Halt, Ports, destroy};
use crate::identity::{DeploymentId, HsmKeyId};
use crate::ports::{ExpiryRow, SignedDestruction};
use crate::receipt::{Batch, BatchReceipts, Facts, Item, Method, Receipt};
use crate::time::{Expiry, Timestamp};

/// Most buckets that one pass of the reaper destroys, so that other work is not delayed for long.
const AT_A_TIME: usize = 32;

/// What one pass of the reaper did.
#[derive(Debug, Default)]
pub struct Reaped {
    /// Buckets whose keys were destroyed in the HSM and whose rows were deleted.
    pub destroyed: Vec<Expiry>,
    /// Buckets that are still to be destroyed, with the reason.
    pub failed: Vec<(Expiry, BatchError)>,
}

impl Buckets {
    /// Destroys the keys whose expiry has passed, then deletes their rows. What fails stays.
    pub async fn reap(&mut self, ports: &Ports, now: Timestamp) -> Reaped {
        let mut reaped = Reaped::default();
        for (expiry, key) in self.overdue(now).into_iter().take(AT_A_TIME) {
            match self.reap_one(ports, expiry, key).await {
                Ok(()) => reaped.destroyed.push(expiry),
                Err(error) => reaped.failed.push((expiry, error)),
            }
        }
        reaped
    }

    async fn reap_one(
        &mut self,
        ports: &Ports,
        expiry: Expiry,
        id: HsmKeyId,
    ) -> Result<(), BatchError> {
        // The receipt says that the bucket is gone. While a bucket moves to another HSM it has two
        // keys, and both must be destroyed first.
        for key in self.keys_of(expiry) {
            destroy(ports, bucket_key(self.deployment, expiry, key)).await?;
        }
        let signed = self.sign_expiry(ports, expiry, id).await?;
        ports.store.finish_bucket(&signed).await?;
        if self.rows.get(&expiry) == Some(&id) {
            self.rows.remove(&expiry);
        }
        self.orphans.remove(&(expiry, id));
        Ok(())
    }

    /// The signed statement that a bucket's key is destroyed.
    async fn sign_expiry(
        &self,
        ports: &Ports,
        expiry: Expiry,
        key: HsmKeyId,
    ) -> Result<ExpiryRow, BatchError> {
        let destroyed_at = ports.clock.now();
        let (deployment, signing_key) = (self.deployment, self.signing_key);
        let batch = expiry_batch(deployment, expiry, key, destroyed_at, signing_key);
        let receipts = BatchReceipts::new(batch).ok_or(Halt::ErasuresMissing)?;
        let signature = ports.hsm.sign(signing_key, &receipts.statement()).await?;
        let signed = SignedDestruction {
            destroyed_at,
            destroyed: vec![key],
            signing_key,
            signature,
        };
        Ok(ExpiryRow { expiry, signed })
    }
}

fn expiry_batch(
    deployment: DeploymentId,
    expiry: Expiry,
    key: HsmKeyId,
    destroyed_at: Timestamp,
    signing_key: HsmKeyId,
) -> Batch {
    Batch {
        facts: Facts {
            deployment,
            method: Method::BucketKeyDestroyed,
            sequence: 0,
            destroyed_at,
            destroyed: vec![key],
            signing_key,
        },
        items: vec![Item::BucketExpiry { key, expiry }],
    }
}

/// The receipt of a signed expiry; none if the row is not complete.
#[must_use]
pub fn expiry_receipt(deployment: DeploymentId, row: &ExpiryRow) -> Option<Receipt> {
    let signed = &row.signed;
    let key = *signed.destroyed.first()?;
    let batch = expiry_batch(
        deployment,
        row.expiry,
        key,
        signed.destroyed_at,
        signed.signing_key,
    );
    BatchReceipts::new(batch)?.receipt(0, signed.signature)
}
