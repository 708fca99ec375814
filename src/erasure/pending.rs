//! What is accepted and not done, and what was done lately.

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
const KEPT: usize = 32_768;
/// Erasures that may wait; no more are accepted until some are done.
const MOST_OPEN: usize = 200_000;

/// How much waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Erasures accepted and not done.
    pub erasures: usize,
    /// When the oldest of them was accepted.
    pub oldest: Option<Timestamp>,
}

/// Shared by who accepts, who does, and who waits.
pub struct PendingErasures {
    store: Arc<dyn Store>,
    refusals: Arc<Refusals>,
    open: Mutex<BTreeMap<ErasureNumber, Erasure>>,
    more: Notify,
    done: watch::Sender<ErasureNumber>,
    recent: Mutex<VecDeque<Arc<Finished>>>,
}

impl PendingErasures {
    /// An empty one.
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

    /// Adds what the store holds and nobody has done: at a start, and after an error. What is done
    /// up to `done` is done, though the answer was lost. Only while no batch runs.
    ///
    /// # Errors
    /// Of the store.
    pub async fn reload(&self, done: ErasureNumber, now: Timestamp) -> Result<(), StoreError> {
        let found = self.store.open_erasures(done).await?;
        for (expected, accepted) in (done.number() + 1..).zip(&found) {
            // A number is given once, and none is left out.
            if accepted.number.number() != expected {
                return Err(StoreError::Altered(format!("request {expected}")));
            }
        }
        for accepted in &found {
            self.refusals.accept_again(targets(&accepted.erasure));
        }
        let mut finished = Vec::new();
        {
            // What was accepted since the look comes behind, and stays.
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

    /// Adds erasures just accepted.
    pub fn add(&self, accepted: impl IntoIterator<Item = AcceptedErasure>) {
        let accepted = accepted.into_iter().map(|it| (it.number, it.erasure));
        self.open.lock().extend(accepted);
        self.more.notify_one();
    }

    /// The oldest open erasures, in order; they stay until [`Self::finish`].
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

    /// Waits until erasures come.
    pub async fn more(&self) {
        self.more.notified().await;
    }

    /// How much waits.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        let open = self.open.lock();
        Backlog {
            erasures: open.len(),
            oldest: open.values().next().map(|erasure| erasure.accepted_at),
        }
    }

    /// Whether so many wait that no more are taken.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.open.lock().len() >= MOST_OPEN
    }

    /// A batch is done: who waits for its erasures hears it. `now` is of the clock that refusals
    /// are dropped by.
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

    /// Keeps a batch in memory, and drops the oldest ones beyond the limit.
    fn remember(&self, finished: Arc<Finished>) {
        let mut recent = self.recent.lock();
        recent.push_back(finished);
        let mut erasures: usize = recent.iter().map(|it| it.erasures().len()).sum();
        while erasures > KEPT && recent.len() > 1 {
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
        // The sender lives as long as these.
        let _ = done.wait_for(|done| *done >= number).await;
    }

    /// The receipt of an erasure, once it is done; one from the store verifies by one of `keys`.
    ///
    /// # Errors
    /// Of the store, where the batch is not in memory any more.
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
        // Whoever asks for one of its receipts asks for others.
        self.remember(Arc::new(finished));
        Ok(Some(receipt))
    }
}

/// What an erasure forgets.
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
