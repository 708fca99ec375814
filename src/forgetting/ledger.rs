//! What is accepted and not done, and what was done lately.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use lethe_core::batch::Finished;
use lethe_core::identity::DeploymentId;
use lethe_core::ports::{Store, StoreError};
use lethe_core::receipt::Receipt;
use lethe_core::refusals::{Refusals, Target};
use lethe_core::request::{AcceptedRequest, Request, RequestNumber, Wish};
use lethe_core::time::Timestamp;
use lethe_core::tree::TreeId;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

/// Batches whose receipts are kept in memory.
const KEPT: usize = 64;

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

    /// Adds what the store holds and nobody has done: at a start, and after an error.
    ///
    /// # Errors
    /// Of the store.
    pub async fn reload(
        &self,
        versions: impl Fn(&Request) -> Vec<TreeId>,
    ) -> Result<(), StoreError> {
        let open = self.store.open_requests().await?;
        let first = open.first().map(|accepted| accepted.number);
        for accepted in &open {
            let targets = targets(&accepted.request, &versions(&accepted.request));
            self.refusals.accept(targets);
        }
        // Nobody takes any meanwhile; what is accepted meanwhile comes behind.
        let mut present = self.open.lock();
        present.retain(|number, _| Some(*number) >= first && first.is_some());
        present.extend(open.into_iter().map(|it| (it.number, it.request)));
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

    /// A batch is done: who waits for its requests hears it.
    pub fn finish(&self, finished: Finished, now: Timestamp) {
        let last = finished.last();
        let mut done = Vec::new();
        {
            let mut open = self.open.lock();
            for AcceptedRequest { number, request } in finished.requests() {
                open.remove(number);
                let trees = match &request.wish {
                    Wish::EraseKeyspace(_) => self.refusals.trees_of(request.keyspace),
                    Wish::Shred { .. } | Wish::DropVersion(_) => Vec::new(),
                };
                done.extend(targets(request, &trees));
            }
        }
        self.refusals.finish(done, now);
        let mut recent = self.recent.lock();
        recent.push_back(Arc::new(finished));
        if recent.len() > KEPT {
            recent.pop_front();
        }
        drop(recent);
        self.done.send_modify(|done| *done = (*done).max(last));
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

    /// The receipt of a request, once it is done.
    ///
    /// # Errors
    /// Of the store, where the batch is not in memory any more.
    pub async fn receipt(
        &self,
        deployment: DeploymentId,
        number: RequestNumber,
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
        let finished = Finished::from_rows(deployment, &row, requests);
        let receipt = finished.and_then(|finished| finished.receipt(number));
        receipt
            .map(Some)
            .ok_or_else(|| StoreError::Corrupt("batch: requests are missing".into()))
    }
}

/// What a request forgets; `versions` are those that live of its keyspace.
pub(super) fn targets(request: &Request, versions: &[TreeId]) -> Vec<Target> {
    match &request.wish {
        Wish::Shred { .. } => request.leaves().map(Target::Leaf).collect(),
        Wish::EraseKeyspace(_) => versions.iter().copied().map(Target::Tree).collect(),
        Wish::DropVersion(version) => vec![Target::Tree(TreeId {
            keyspace: request.keyspace,
            version: *version,
        })],
    }
}
