//! The erasures that are accepted and not done, and the receipts of those that were done last.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use lethe_core::batch::Finished;
use lethe_core::erasure::{AcceptedErasure, Erasure, ErasureKind, ErasureNumber};
use lethe_core::identity::DeploymentId;
use lethe_core::ports::{Store, StoreError, VerificationKey};
use lethe_core::receipt::Receipt;
use lethe_core::refusals::{Refusals, Target};
use lethe_core::time::Timestamp;
use lethe_core::tree::TreeId;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

/// Erasures whose receipts are kept in memory.
const MAX_RECEIPTS: usize = 32_768;
/// Erasures that may wait; beyond that none is accepted until some are done.
const MAX_OPEN: usize = 200_000;

/// The number and age of the erasures that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Erasures accepted and not done.
    pub erasures: usize,
    /// When the oldest of them was accepted; none if none waits.
    pub oldest: Option<Timestamp>,
}

/// The erasures that wait. The acceptor adds them, the keeper takes and finishes them, and callers wait
/// here for their receipts.
pub struct PendingErasures {
    store: Arc<dyn Store>,
    refusals: Arc<Refusals>,
    open: Mutex<BTreeMap<ErasureNumber, Erasure>>,
    more: Notify,
    done: watch::Sender<ErasureNumber>,
    recent: Mutex<VecDeque<Arc<Finished>>>,
}

impl PendingErasures {
    /// Without erasures; [`Self::reload`] reads them from the store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, refusals: Arc<Refusals>) -> Self {
        Self {
            store,
            refusals,
            open: Mutex::default(),
            more: Notify::new(),
            done: watch::Sender::new(ErasureNumber::new(0)),
            recent: Mutex::default(),
        }
    }

    /// Reads the erasures after `done` from the store, at a start and after an error. Erasures up to `done`
    /// are done, also if the answer of their batch was lost. May only be called while no batch runs.
    ///
    /// # Errors
    /// Of the store.
    pub async fn reload(&self, done: ErasureNumber, now: Timestamp) -> Result<(), StoreError> {
        let found = self.store.open_erasures(done).await?;
        for (expected, accepted) in (done.number() + 1..).zip(&found) {
            // Numbers are given once and without gaps.
            if accepted.number.number() != expected {
                return Err(StoreError::Altered(format!("request {expected}")));
            }
        }
        for accepted in &found {
            self.refusals.accept_again(targets(&accepted.erasure));
        }
        let mut finished = Vec::new();
        {
            // Erasures that were accepted since the read have higher numbers: they stay.
            let mut open = self.open.lock();
            let behind = ErasureNumber::new(done.number() + 1);
            let rest = open.split_off(&behind);
            for erasure in std::mem::replace(&mut *open, rest).values() {
                finished.extend(targets(erasure));
            }
            open.extend(found.into_iter().map(|it| (it.number, it.erasure)));
        }
        self.refusals.finish(finished, now);
        self.done.send_modify(|last| *last = (*last).max(done));
        Ok(())
    }

    /// Adds erasures that were just accepted.
    pub fn add(&self, accepted: impl IntoIterator<Item = AcceptedErasure>) {
        let accepted = accepted.into_iter().map(|it| (it.number, it.erasure));
        self.open.lock().extend(accepted);
        self.more.notify_one();
    }

    /// The oldest open erasures, at most `most`, in order. They stay here until [`Self::finish`].
    #[must_use]
    pub fn next(&self, most: usize) -> Vec<AcceptedErasure> {
        let open = self.open.lock();
        let first = open.iter().take(most);
        let accepted = first.map(|(number, erasure)| AcceptedErasure {
            number: *number,
            erasure: erasure.clone(),
        });
        accepted.collect()
    }

    /// Waits until erasures are added.
    pub async fn more(&self) {
        self.more.notified().await;
    }

    /// The number and age of the erasures that wait.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        let open = self.open.lock();
        Backlog {
            erasures: open.len(),
            oldest: open.values().next().map(|erasure| erasure.accepted_at),
        }
    }

    /// Whether so many wait that no more are accepted.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.open.lock().len() >= MAX_OPEN
    }

    /// Takes a batch that is done, and wakes the callers that wait for its receipts. `now` is of the clock
    /// that [`Refusals::drop_done`] is called with.
    pub fn finish(&self, finished: Finished, now: Timestamp) {
        let last = finished.last();
        let mut done = Vec::new();
        {
            let mut open = self.open.lock();
            for AcceptedErasure { number, erasure } in finished.erasures() {
                open.remove(number);
                done.extend(targets(erasure));
            }
        }
        self.refusals.finish(done, now);
        self.remember(Arc::new(finished));
        self.done.send_modify(|done| *done = (*done).max(last));
    }

    /// Keeps a batch in memory, and drops the oldest batches beyond the limit.
    fn remember(&self, finished: Arc<Finished>) {
        let mut recent = self.recent.lock();
        recent.push_back(finished);
        let mut erasures: usize = recent.iter().map(|it| it.erasures().len()).sum();
        while erasures > MAX_RECEIPTS && recent.len() > 1 {
            if let Some(oldest) = recent.pop_front() {
                erasures -= oldest.erasures().len();
            }
        }
    }

    /// Whether an erasure is accepted and not done.
    #[must_use]
    pub fn is_open(&self, number: ErasureNumber) -> bool {
        self.open.lock().contains_key(&number)
    }

    /// Waits until an open erasure is done.
    pub async fn until_done(&self, number: ErasureNumber) {
        let mut done = self.done.subscribe();
        // It fails only if the sender is dropped, which lives as long as `self`.
        let _ = done.wait_for(|done| *done >= number).await;
    }

    /// The receipt of an erasure; none until it is done. One that is made from the store's rows must verify
    /// with one of `keys`.
    ///
    /// # Errors
    /// Of the store, if the batch is not in memory any more.
    pub async fn receipt(
        &self,
        deployment: DeploymentId,
        number: ErasureNumber,
        keys: &[VerificationKey],
    ) -> Result<Option<Receipt>, StoreError> {
        let recent: Vec<_> = self.recent.lock().iter().rev().cloned().collect();
        if let Some(receipt) = recent.iter().find_map(|batch| batch.receipt(number)) {
            return Ok(Some(receipt));
        }
        let Some(row) = self.store.batch_of(number).await? else {
            return Ok(None);
        };
        if row.signed.is_none() {
            return Ok(None);
        }
        let (first, last) = (row.fulfilled.first, row.fulfilled.last);
        let erasures = self.store.erasures(first, last).await?;
        let missing = || StoreError::Corrupt("batch: requests are missing".into());
        let finished = Finished::from_rows(deployment, &row, erasures).ok_or_else(missing)?;
        let receipt = finished.receipt(number).ok_or_else(missing)?;
        if receipt.verify(keys).is_err() {
            let row = format!("batch {} or its requests", row.sequence);
            return Err(StoreError::Altered(row));
        }
        // A caller often asks for several receipts of one batch.
        self.remember(Arc::new(finished));
        Ok(Some(receipt))
    }
}

/// The leaves, the version or the keyspace that an erasure destroys.
pub(super) fn targets(erasure: &Erasure) -> Vec<Target> {
    match &erasure.kind {
        ErasureKind::Shred { .. } => erasure.leaves().map(Target::Leaf).collect(),
        ErasureKind::EraseKeyspace(_) => vec![Target::Keyspace(erasure.keyspace)],
        ErasureKind::DropVersion(version) => vec![Target::Tree(TreeId {
            keyspace: erasure.keyspace,
            version: *version,
        })],
    }
}
