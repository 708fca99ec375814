//! A batch that is done, and the receipts of its erasures.

use crate::erasure::{AcceptedErasure, ErasureNumber};
use crate::identity::DeploymentId;
use crate::ports::{BatchRow, Fulfilled};
use crate::receipt::{Batch, BatchReceipts, Facts, Method, Receipt};

/// A batch that is done: its erasures with their receipts.
pub struct Finished {
    first: ErasureNumber,
    erasures: Vec<AcceptedErasure>,
    receipts: BatchReceipts,
    signature: [u8; 64],
}

impl Finished {
    /// None if there is no erasure, or if their numbers are not consecutive.
    pub(super) fn new(
        erasures: Vec<AcceptedErasure>,
        receipts: BatchReceipts,
        signature: [u8; 64],
    ) -> Option<Self> {
        let first = erasures.first()?.number;
        let numbers = erasures.iter().zip(first.number()..);
        numbers
            .clone()
            .all(|(erasure, number)| erasure.number.number() == number)
            .then_some(())?;
        Some(Self {
            first,
            erasures,
            receipts,
            signature,
        })
    }

    /// From the store's rows; none if the batch is not signed or the erasures are not those of the batch.
    #[must_use]
    pub fn from_rows(
        deployment: DeploymentId,
        row: &BatchRow,
        erasures: Vec<AcceptedErasure>,
    ) -> Option<Self> {
        let signed = row.signed.as_ref()?;
        let Fulfilled { first, last, .. } = row.fulfilled;
        let ends = (erasures.first()?.number, erasures.last()?.number);
        if ends != (first, last) {
            return None;
        }
        let facts = Facts {
            deployment,
            method: Method::RootsDestroyed,
            sequence: row.sequence,
            destroyed_at: signed.destroyed_at,
            destroyed: signed.destroyed.clone(),
            signing_key: signed.signing_key,
        };
        let items = erasures.iter().map(|accepted| accepted.erasure.item());
        let items = items.collect();
        let receipts = BatchReceipts::new(Batch { facts, items })?;
        Self::new(erasures, receipts, signed.signature)
    }

    /// The erasures, in order of acceptance.
    #[must_use]
    pub fn erasures(&self) -> &[AcceptedErasure] {
        &self.erasures
    }

    /// The number of the last erasure.
    #[must_use]
    pub fn last(&self) -> ErasureNumber {
        ErasureNumber::new(self.first.number() + self.erasures.len() as u64 - 1)
    }

    /// The receipt of an erasure; none if the erasure is not of this batch.
    #[must_use]
    pub fn receipt(&self, number: ErasureNumber) -> Option<Receipt> {
        let index = number.number().checked_sub(self.first.number())?;
        self.receipts
            .receipt(usize::try_from(index).ok()?, self.signature)
    }
}
