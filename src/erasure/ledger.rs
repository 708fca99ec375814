//! What is accepted and not done, and what was done lately.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use lethe_core::batch::Finished;
use lethe_core::identity::DeploymentId;
use lethe_core::ports::{Store, StoreError, VerificationKey};
use lethe_core::receipt::Receipt;
use lethe_core::refusals::{Refusals, Target};
use lethe_core::request::{AcceptedRequest, Request, RequestNumber, Wish};
use lethe_core::time::Timestamp;
use lethe_core::tree::TreeId;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

/// Requests whose receipts are kept in memory.
const KEPT: usize = 32_768;
/// Requests that may wait; no more are accepted until some are done.
const MOST_OPEN: usize = 200_000;

/// How much waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Requests accepted and not done.
    pub requests: usize,
    /// When the oldest of them was accepted.
    pub oldest: Option<Timestamp>,
}

/// Shared by who accepts, who does, and who waits.
pub struct Ledger {
    store: Arc<dyn Store>,
    refusals: Arc<Refusals>,
    open: Mutex<BTreeMap<RequestNumber, Request>>,
    more: Notify,
    done: watch::Sender<RequestNumber>,
    recent: Mutex<VecDeque<Arc<Finished>>>,
}

impl Ledger {
    /// An empty one.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, refusals: Arc<Refusals>) -> Self {
        Self {
            store,
            refusals,
            open: Mutex::default(),
            more: Notify::new(),
            done: watch::Sender::new(RequestNumber::new(0)),
            recent: Mutex::default(),
        }
    }

    /// Adds what the store holds and nobody has done: at a start, and after an error. What is done
    /// up to `done` is done, though the answer was lost. Only while no batch runs.
    ///
    /// # Errors
    /// Of the store.
    pub async fn reload(&self, done: RequestNumber, now: Timestamp) -> Result<(), StoreError> {
        let found = self.store.open_requests(done).await?;
        for (expected, accepted) in (done.number() + 1..).zip(&found) {
            // A number is given once, and none is left out.
            if accepted.number.number() != expected {
                return Err(StoreError::Altered(format!("request {expected}")));
            }
        }
        for accepted in &found {
            self.refusals.accept_again(targets(&accepted.request));
        }
        let mut finished = Vec::new();
        {
            // What was accepted since the look comes behind, and stays.
            let mut open = self.open.lock();
            let behind = RequestNumber::new(done.number() + 1);
            let rest = open.split_off(&behind);
            for request in std::mem::replace(&mut *open, rest).values() {
                finished.extend(targets(request));
            }
            open.extend(found.into_iter().map(|it| (it.number, it.request)));
        }
        self.refusals.finish(finished, now);
        self.done.send_modify(|last| *last = (*last).max(done));
        Ok(())
    }

    /// Adds requests just accepted.
    pub fn add(&self, accepted: impl IntoIterator<Item = AcceptedRequest>) {
        let accepted = accepted.into_iter().map(|it| (it.number, it.request));
        self.open.lock().extend(accepted);
        self.more.notify_one();
    }

    /// The oldest open requests, in order; they stay until [`Self::finish`].
    #[must_use]
    pub fn next(&self, most: usize) -> Vec<AcceptedRequest> {
        let open = self.open.lock();
        let first = open.iter().take(most);
        let accepted = first.map(|(number, request)| AcceptedRequest {
            number: *number,
            request: request.clone(),
        });
        accepted.collect()
    }

    /// Waits until requests come.
    pub async fn more(&self) {
        self.more.notified().await;
    }

    /// How much waits.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        let open = self.open.lock();
        Backlog {
            requests: open.len(),
            oldest: open.values().next().map(|request| request.accepted_at),
        }
    }

    /// Whether so many wait that no more are taken.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.open.lock().len() >= MOST_OPEN
    }

    /// A batch is done: who waits for its requests hears it. `now` is of the clock that refusals
    /// are dropped by.
    pub fn finish(&self, finished: Finished, now: Timestamp) {
        let last = finished.last();
        let mut done = Vec::new();
        {
            let mut open = self.open.lock();
            for AcceptedRequest { number, request } in finished.requests() {
                open.remove(number);
                done.extend(targets(request));
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
        let mut requests: usize = recent.iter().map(|it| it.requests().len()).sum();
        while requests > KEPT && recent.len() > 1 {
            if let Some(oldest) = recent.pop_front() {
                requests -= oldest.requests().len();
            }
        }
    }

    /// Whether a request is accepted and not done.
    #[must_use]
    pub fn is_open(&self, number: RequestNumber) -> bool {
        self.open.lock().contains_key(&number)
    }

    /// Waits until an open request is done.
    pub async fn until_done(&self, number: RequestNumber) {
        let mut done = self.done.subscribe();
        // The sender lives as long as this ledger.
        let _ = done.wait_for(|done| *done >= number).await;
    }

    /// The receipt of a request, once it is done; one from the store verifies by one of `keys`.
    ///
    /// # Errors
    /// Of the store, where the batch is not in memory any more.
    pub async fn receipt(
        &self,
        deployment: DeploymentId,
        number: RequestNumber,
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
        let requests = self.store.requests(first, last).await?;
        let missing = || StoreError::Corrupt("batch: requests are missing".into());
        let finished = Finished::from_rows(deployment, &row, requests).ok_or_else(missing)?;
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

/// What a request forgets.
pub(super) fn targets(request: &Request) -> Vec<Target> {
    match &request.wish {
        Wish::Shred { .. } => request.leaves().map(Target::Leaf).collect(),
        Wish::EraseKeyspace(_) => vec![Target::Keyspace(request.keyspace)],
        Wish::DropVersion(version) => vec![Target::Tree(TreeId {
            keyspace: request.keyspace,
            version: *version,
        })],
    }
}
