//! Step 8: one signature for the batch. If a crash comes before it, the recovery signs the batch after the same
//! steps.

use super::commitments::check_numbers;
use super::finished::Finished;
use super::sweep::Swept;
use super::{BatchError, Current, Halt, Ports};
use crate::erasure::AcceptedErasure;
use crate::identity::HsmKeyId;
use crate::ports::{BatchRow, Fulfilled, SignedDestruction};
use crate::receipt::{Batch, BatchReceipts, Facts, Method};
use crate::time::Timestamp;
use crate::tree::LeafId;

impl Swept {
    /// Signs the statement for the batch's erasures, and stores the signature. A batch without erasures has
    /// none.
    pub(super) async fn sign(
        self,
        ports: &Ports,
    ) -> Result<(Current, Option<Finished>), BatchError> {
        let Self {
            current,
            erasures,
            destroyed,
            unsigned,
        } = self;
        let finished = match unsigned {
            Some(unsigned) => unsigned.sign(ports, &current).await?,
            None if erasures.is_empty() => return Ok((current, None)),
            None => sign(ports, &current, current.sequence, destroyed, erasures).await?,
        };
        Ok((current, Some(finished)))
    }
}

/// A batch without a signature, because of a crash: the last batch with erasures.
pub(super) struct Unsigned {
    pub(super) sequence: u64,
    pub(super) fulfilled: Fulfilled,
    pub(super) erasures: Vec<AcceptedErasure>,
}

impl Unsigned {
    /// The unsigned batch in the store. Whether the directory names this batch is checked later.
    pub(super) async fn find(ports: &Ports) -> Result<Option<Self>, BatchError> {
        let mut rows = ports.store.unsigned_batches().await?.into_iter();
        let Some(BatchRow {
            sequence,
            fulfilled,
            ..
        }) = rows.next_back()
        else {
            return Ok(None);
        };
        if let Some(older) = rows.next() {
            return Err(Halt::Altered(format!("batch {}", older.sequence)).into());
        }
        let Fulfilled { first, last, .. } = fulfilled;
        let erasures = ports.store.erasures(first, last).await?;
        check_numbers(&erasures, first)?;
        if erasures.last().map(|it| it.number) != Some(last) {
            return Err(Halt::ErasuresMissing.into());
        }
        Ok(Some(Self {
            sequence,
            fulfilled,
            erasures,
        }))
    }

    pub(super) fn leaves(&self) -> impl Iterator<Item = LeafId> {
        self.erasures.iter().flat_map(|it| it.erasure.leaves())
    }

    /// Signs the batch. May only be called after a sweep.
    pub(super) async fn sign(
        self,
        ports: &Ports,
        current: &Current,
    ) -> Result<Finished, BatchError> {
        let destroyed = vec![self.fulfilled.replaced_root];
        sign(ports, current, self.sequence, destroyed, self.erasures).await
    }
}

async fn sign(
    ports: &Ports,
    current: &Current,
    sequence: u64,
    destroyed: Vec<HsmKeyId>,
    erasures: Vec<AcceptedErasure>,
) -> Result<Finished, BatchError> {
    // The clock may have been set back over a restart.
    let accepted = erasures.iter().map(|it| it.erasure.accepted_at).max();
    let facts = Facts {
        deployment: current.deployment,
        method: Method::RootsDestroyed,
        sequence,
        destroyed_at: ports
            .clock
            .now()
            .max(accepted.unwrap_or(Timestamp::from_millis(0))),
        destroyed,
        signing_key: current.signing_key,
    };
    let items = erasures.iter().map(|accepted| accepted.erasure.item());
    let batch = Batch {
        items: items.collect(),
        facts: facts.clone(),
    };
    let receipts = BatchReceipts::new(batch).ok_or(Halt::ErasuresMissing)?;
    let statement = receipts.statement();
    let signature = ports.hsm.sign(current.signing_key, &statement).await?;
    let signed = SignedDestruction {
        destroyed_at: facts.destroyed_at,
        destroyed: facts.destroyed,
        signing_key: current.signing_key,
        signature,
    };
    ports.store.sign_batch(sequence, &signed).await?;
    Finished::new(erasures, receipts, signature).ok_or_else(|| Halt::ErasuresMissing.into())
}
