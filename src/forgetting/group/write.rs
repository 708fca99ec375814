//! The rows of what was decided, and the keys that are refused from then on.

use std::time::Duration;

use lethe_core::ports::StoreError;
use lethe_core::refusals::Target;
use lethe_core::request::{AcceptedRequest, Request, RequestNumber};
use lethe_core::time::Timestamp;

use super::Group;
use crate::forgetting::new_request::New;

/// Until the store answers whether a commit was made whose answer was lost.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

impl Group<'_> {
    /// Writes the rows down, and refuses the keys for good; the answer waits for both.
    pub(super) async fn write(
        &mut self,
        pending: &[Target],
        now: Timestamp,
    ) -> Result<RequestNumber, StoreError> {
        let refusals = &self.acceptor.live.refusals;
        for New { request, lease, .. } in &mut self.new {
            request.leases_end_at = request.leases_end_at.max(now.saturating_add(*lease));
            request.accepted_at = now;
        }
        let requests: Vec<Request> = self.new.iter().map(|new| new.request.clone()).collect();
        let written = match self.acceptor.ports.store.accept(&requests).await {
            Err(error) => self.find_out(error).await,
            written => written,
        };
        match &written {
            Ok(first) => {
                refusals.accept(self.targets.iter().copied());
                // Another shred of such a conversation is one of its own: it may have gone on.
                let waited = self.new.iter().filter(|new| new.waited);
                for leaf in waited.flat_map(|new| new.request.leaves()) {
                    refusals.went_on(leaf);
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

    /// The commit failed, or its answer was lost: asks the store until it says which. Meanwhile the
    /// keys are neither given out nor refused for good.
    async fn find_out(&self, error: StoreError) -> Result<RequestNumber, StoreError> {
        let first = self.new[0].request.id;
        loop {
            match self.acceptor.ports.store.requests_by_id(&[first]).await {
                Ok(found) => return found.first().map(|it| it.number).ok_or(error),
                Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }
}
