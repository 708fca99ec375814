//! Writes the new erasures, and refuses their keys from then on.

use std::time::Duration;

use lethe_core::approval::ShredCount;
use lethe_core::erasure::{AcceptedErasure, Erasure, ErasureNumber};
use lethe_core::ports::{Effect, StoreError, Strength};
use lethe_core::refusals::Target;
use lethe_core::time::Timestamp;

use super::{AcceptBatch, WriteError, WriteResult};
use crate::erasure::acceptor::Call;
use crate::erasure::draft::PermittedErasure;

/// From one question to the store to the next, whether a commit was made whose answer was lost.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

impl AcceptBatch<'_> {
    /// Writes the rows, and refuses the keys for good. Callers are answered after both. None if nothing was
    /// written because the windows have no room any more: other processes have counted shreds meanwhile.
    pub(super) async fn write(
        &mut self,
        pending: &[Target],
        now: Timestamp,
    ) -> Option<WriteResult> {
        let refusals = &self.acceptor.key_state.refusals;
        for new in &mut self.permitted {
            new.accept_at(now);
        }
        let drafts = self.permitted.iter().map(PermittedErasure::draft);
        let erasures: Vec<Erasure> = drafts.map(|draft| draft.erasure.clone()).collect();
        let written = match self.store(&erasures, now).await {
            Err(WriteError::Store(error)) => self.find_out(error).await.map_err(WriteError::from),
            written => written.transpose()?,
        };
        match &written {
            Ok(first) => {
                refusals.accept(self.targets());
                // Keys may have been issued since: another shred of such a conversation must not join it.
                let drafts = self.permitted.iter().map(PermittedErasure::draft);
                let waited = drafts.filter(|draft| draft.waited);
                for leaf in waited.flat_map(|draft| draft.erasure.leaves()) {
                    refusals.reissued(leaf);
                }
                let numbers = (first.number()..).map(ErasureNumber::new);
                let accepted = numbers.zip(erasures);
                let accepted =
                    accepted.map(|(number, erasure)| AcceptedErasure { number, erasure });
                self.acceptor.pending_erasures.add(accepted);
            }
            Err(error) => {
                tracing::warn!(%error, "erasures were not accepted");
                refusals.withdraw(pending);
            }
        }
        Some(written)
    }

    /// In one transaction with the approval, if there is one, or with what the windows count. None if the
    /// windows have no room.
    async fn store(
        &self,
        erasures: &[Erasure],
        now: Timestamp,
    ) -> Result<Option<ErasureNumber>, WriteError> {
        let permissions = &self.acceptor.permissions;
        let store = &permissions.store;
        if let Some(approval) = self.calls.iter().find_map(Call::approval) {
            let accepted = store.approve(approval, Effect::Erasures(erasures)).await;
            return accepted?.ok_or(WriteError::NotWaiting).map(Some);
        }
        let counts = self.permissions.iter().filter_map(|it| it.count().cloned());
        let counts: Vec<ShredCount> = counts.collect();
        let accepted = store.accept_counted(erasures, &counts, &permissions.limits, now);
        Ok(accepted.await?)
    }

    /// Finds out whether the commit was made: it failed, or its answer was lost. Asks the store until it
    /// answers. Meanwhile the keys stay pending. Rows that the store has count after the barrier.
    async fn find_out(&self, error: StoreError) -> Result<ErasureNumber, StoreError> {
        let store = &self.acceptor.ports.store;
        let Some(first) = self.permitted.first() else {
            return Err(error);
        };
        let first = first.draft().erasure.id;
        loop {
            if let Ok(found) = store.erasures_by_id(&[first]).await {
                let number = found.first().map(|it| it.number).ok_or(&error);
                let number = number.map_err(Clone::clone)?;
                if store.barrier(Strength::Answered).await.is_ok() {
                    return Ok(number);
                }
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }
}
