//! Step 8: one signed statement for the batch. What a crash left without one gets it later: the
//! sweep before has confirmed that its roots are gone.

use super::finished::Finished;
use super::sweep::Swept;
use super::{BatchError, Current, Halt, Ports};
use crate::identity::HsmKeyId;
use crate::ports::{BatchRow, SignedDestruction};
use crate::receipt::{Batch, BatchReceipts, Facts, Method};
use crate::request::AcceptedRequest;
use crate::time::Timestamp;

impl Swept {
    /// Signs for the batch's requests, if it has any, and keeps the signature.
    pub(super) async fn sign(
        self,
        ports: &Ports,
    ) -> Result<(Current, Option<Finished>), BatchError> {
        let Self {
            current,
            requests,
            destroyed,
        } = self;
        if requests.is_empty() {
            return Ok((current, None));
        }
        let finished = sign(ports, &current, current.sequence, destroyed, requests).await?;
        Ok((current, Some(finished)))
    }
}

/// Signs for every batch that has no signature yet. Only after a sweep.
pub(super) async fn sign_open(
    ports: &Ports,
    current: &Current,
) -> Result<Vec<Finished>, BatchError> {
    let mut finished = Vec::new();
    for BatchRow {
        sequence,
        fulfilled,
        ..
    } in ports.store.unsigned_batches().await?
    {
        let requests = ports.store.requests(fulfilled.first, fulfilled.last);
        let destroyed = vec![fulfilled.replaced_root];
        finished.push(sign(ports, current, sequence, destroyed, requests.await?).await?);
    }
    Ok(finished)
}

async fn sign(
    ports: &Ports,
    current: &Current,
    sequence: u64,
    destroyed: Vec<HsmKeyId>,
    requests: Vec<AcceptedRequest>,
) -> Result<Finished, BatchError> {
    // The clock may have been set back over a restart.
    let accepted = requests.iter().map(|it| it.request.accepted_at).max();
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
    let items = requests.iter().map(|accepted| accepted.request.item());
    let batch = Batch {
        items: items.collect(),
        facts: facts.clone(),
    };
    let receipts = BatchReceipts::new(batch).ok_or(Halt::RequestsMissing)?;
    let statement = receipts.statement();
    let signature = ports.hsm.sign(current.signing_key, &statement).await?;
    let signed = SignedDestruction {
        destroyed_at: facts.destroyed_at,
        destroyed: facts.destroyed,
        signing_key: current.signing_key,
        signature,
    };
    ports.store.sign_batch(sequence, &signed).await?;
    Finished::new(requests, receipts, signature).ok_or_else(|| Halt::RequestsMissing.into())
}
