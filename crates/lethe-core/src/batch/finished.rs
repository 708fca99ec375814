//! A batch that is done, and the receipts of its requests.

use crate::identity::DeploymentId;
use crate::ports::{BatchRow, Fulfilled};
use crate::receipt::{Batch, BatchReceipts, Facts, Method, Receipt};
use crate::request::{AcceptedRequest, RequestNumber};

/// Requests that are fulfilled, with their receipts.
pub struct Finished {
    first: RequestNumber,
    requests: Vec<AcceptedRequest>,
    receipts: BatchReceipts,
    signature: [u8; 64],
}

impl Finished {
    /// None of no requests, or of others than neighbours in their order.
    pub(super) fn new(
        requests: Vec<AcceptedRequest>,
        receipts: BatchReceipts,
        signature: [u8; 64],
    ) -> Option<Self> {
        let first = requests.first()?.number;
        let numbers = requests.iter().zip(first.number()..);
        numbers
            .clone()
            .all(|(request, number)| request.number.number() == number)
            .then_some(())?;
        Some(Self {
            first,
            requests,
            receipts,
            signature,
        })
    }

    /// From the store's rows; none when the batch is not signed or the rows do not fit it.
    #[must_use]
    pub fn from_rows(
        deployment: DeploymentId,
        row: &BatchRow,
        requests: Vec<AcceptedRequest>,
    ) -> Option<Self> {
        let signed = row.signed.as_ref()?;
        let Fulfilled { first, last, .. } = row.fulfilled;
        let ends = (requests.first()?.number, requests.last()?.number);
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
        let items = requests.iter().map(|accepted| accepted.request.item());
        let items = items.collect();
        let receipts = BatchReceipts::new(Batch { facts, items })?;
        Self::new(requests, receipts, signed.signature)
    }

    /// The requests, in order of acceptance.
    #[must_use]
    pub fn requests(&self) -> &[AcceptedRequest] {
        &self.requests
    }

    /// The last of them.
    #[must_use]
    pub fn last(&self) -> RequestNumber {
        RequestNumber::new(self.first.number() + self.requests.len() as u64 - 1)
    }

    /// A request's receipt; none when it is not of this batch.
    #[must_use]
    pub fn receipt(&self, number: RequestNumber) -> Option<Receipt> {
        let index = number.number().checked_sub(self.first.number())?;
        self.receipts
            .receipt(usize::try_from(index).ok()?, self.signature)
    }
}
