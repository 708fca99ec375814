//! The rows of what was decided, and the keys that are refused from then on.

use std::collections::HashMap;
use std::time::Duration;

use lethe_core::approval::{Asker, ShredCount};
use lethe_core::ports::{Effect, StoreError};
use lethe_core::refusals::Target;
use lethe_core::request::{AcceptedRequest, Request, RequestNumber};
use lethe_core::time::Timestamp;

use super::{Group, NotWritten, Written};
use crate::erasure::acceptor::Call;
use crate::erasure::new_request::New;

/// Until the store answers whether a commit was made whose answer was lost.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

impl Group<'_> {
    /// Writes the rows down, and refuses the keys for good; the answer waits for both.
    pub(super) async fn write(&mut self, pending: &[Target], now: Timestamp) -> Written {
        let refusals = &self.acceptor.live.refusals;
        for new in &mut self.new {
            new.accept_at(now);
        }
        let drafts = self.new.iter().map(New::draft);
        let requests: Vec<Request> = drafts.map(|draft| draft.request.clone()).collect();
        let written = match self.store(&requests).await {
            Err(error) => self.find_out(error).await.map_err(NotWritten::from),
            Ok(first) => first.ok_or(NotWritten::NotWaiting),
        };
        match &written {
            Ok(first) => {
                for permission in &self.permissions {
                    permission.use_up();
                }
                refusals.accept(self.targets());
                // Another shred of such a conversation is one of its own: it may have gone on.
                let drafts = self.new.iter().map(New::draft);
                let waited = drafts.filter(|draft| draft.waited);
                for leaf in waited.flat_map(|draft| draft.request.leaves()) {
                    refusals.reissued(leaf);
                }
                let numbers = (first.number()..).map(RequestNumber::new);
                let accepted = numbers.zip(requests);
                let accepted =
                    accepted.map(|(number, request)| AcceptedRequest { number, request });
                self.acceptor.ledger.add(accepted);
            }
            Err(error) => {
                tracing::warn!(%error, "requests to forget were not accepted");
                refusals.withdraw(pending);
            }
        }
        written
    }

    /// With the approval that is given with them, in one transaction; none where it does not wait any
    /// more.
    async fn store(&self, requests: &[Request]) -> Result<Option<RequestNumber>, StoreError> {
        let mut given = self.calls.iter().filter_map(Call::given);
        match given.next() {
            None => {
                let store = &self.acceptor.approvals.store;
                let counts = self.counts();
                let accepted = store.accept_counted(requests, &counts).await;
                accepted.map(Some)
            }
            Some(given) => {
                let store = &self.acceptor.approvals.store;
                store.approve(given, Effect::Requests(requests)).await
            }
        }
    }

    /// What counts in the windows from now on; of many calls of one client once.
    fn counts(&self) -> Vec<ShredCount> {
        let mut counts: HashMap<(&Asker, Timestamp), u64> = HashMap::new();
        let permissions = self.permissions.iter();
        for count in permissions.filter_map(|permission| permission.count()) {
            *counts.entry((&count.asker, count.end)).or_default() += count.conversations;
        }
        let count = |((asker, end), conversations): ((&Asker, Timestamp), u64)| ShredCount {
            asker: asker.clone(),
            end,
            conversations,
        };
        counts.into_iter().map(count).collect()
    }

    /// The commit failed, or its answer was lost: asks the store until it says which. Meanwhile the
    /// keys are neither given out nor refused for good. What it holds counts once it has passed the
    /// barrier.
    async fn find_out(&self, error: StoreError) -> Result<RequestNumber, StoreError> {
        let store = &self.acceptor.ports.store;
        let Some(first) = self.new.first() else {
            return Err(error);
        };
        let first = first.draft().request.id;
        loop {
            if let Ok(found) = store.requests_by_id(&[first]).await {
                let number = found.first().map(|it| it.number).ok_or(&error);
                let number = number.map_err(Clone::clone)?;
                if store.barrier().await.is_ok() {
                    return Ok(number);
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}
