//! Wishes of several callers that are accepted together. What is known and what is new is decided here
//! and nowhere else, and nothing new goes on without a permission.

mod decide;
mod write;

use std::collections::HashMap;
use std::sync::Arc;

use lethe_core::ports::StoreError;
use lethe_core::receipt::{Opening, RequestId};
use lethe_core::refusals::Target;
use lethe_core::request::{AcceptedRequest, RequestNumber};

use super::acceptor::{Acceptor, Call};
use super::ledger::targets;
use super::new_request::{Draft, New};
use super::wanted::{Admitted, NotAccepted, Wanted};
use crate::approvals::Permission;

/// Where an item's answer comes from.
enum Answer {
    /// A request that was there already.
    Earlier(Admitted),
    /// The new request of this place, with its opening.
    New(usize, Option<Opening>),
    Refused(NotAccepted),
}

/// The first number of the new requests.
type Written = Result<RequestNumber, NotWritten>;

/// Why nothing was written.
#[derive(Debug, Clone, thiserror::Error)]
enum NotWritten {
    #[error("the approval does not wait any more")]
    NotWaiting,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<NotWritten> for NotAccepted {
    fn from(error: NotWritten) -> Self {
        match error {
            NotWritten::NotWaiting => Self::NotWaiting,
            NotWritten::Store(error) => error.into(),
        }
    }
}

pub(super) struct Group<'a> {
    acceptor: &'a Acceptor,
    calls: Vec<Call>,
    /// Requests of these ids that the store holds.
    earlier: HashMap<RequestId, AcceptedRequest>,
    new: Vec<New>,
    /// What the new ones are allowed by; what they do not use is given back.
    permissions: Vec<Arc<Permission>>,
    /// New requests of the call that is being decided; their places come behind those of `new`.
    drafts: Vec<Draft>,
    by_id: HashMap<RequestId, usize>,
}

impl<'a> Group<'a> {
    pub(super) fn new(acceptor: &'a Acceptor, calls: Vec<Call>) -> Self {
        Self {
            acceptor,
            calls,
            earlier: HashMap::new(),
            new: Vec::new(),
            permissions: Vec::new(),
            drafts: Vec::new(),
            by_id: HashMap::new(),
        }
    }

    /// Accepts what can be accepted, and answers everybody.
    pub(super) async fn run(mut self) {
        let (answers, written) = match self.find_earlier().await {
            Ok(()) => self.accept().await,
            Err(error) => (self.refuse_all(&error), Ok(RequestNumber::new(0))),
        };
        self.answer_all(answers, &written);
    }

    fn answer_all(&mut self, answers: Vec<Vec<Answer>>, written: &Written) {
        let calls = std::mem::take(&mut self.calls);
        for (call, answers) in calls.into_iter().zip(answers) {
            let answers = answers
                .into_iter()
                .map(|answer| self.answer(answer, written));
            // Who asked may be gone.
            let _ = call.answer.send(answers.collect());
        }
    }

    /// Decides, holds the keys back, and only then looks whether it still holds: what was rotated,
    /// issued or set in between is decided anew.
    async fn accept(&mut self) -> (Vec<Vec<Answer>>, Written) {
        let refusals = Arc::clone(&self.acceptor.live.refusals);
        loop {
            let answers = self.decide().await;
            if !self.is_to_be_written(&answers) {
                return (answers, Ok(RequestNumber::new(0)));
            }
            let pending = refusals.pend(self.targets());
            let now = self.acceptor.ports.clock.now();
            if self.still_holds() {
                let written = self.write(&pending, now).await;
                return (answers, written);
            }
            refusals.withdraw(&pending);
            self.new.clear();
            self.permissions.clear();
            self.by_id.clear();
        }
    }

    /// New requests are, and an approval of which anything can be done, though nothing of it is new.
    fn is_to_be_written(&self, answers: &[Vec<Answer>]) -> bool {
        let mut answers = answers.iter().flatten();
        let given = self.calls.iter().any(|call| call.given().is_some());
        !self.new.is_empty() || given && answers.any(|it| !matches!(it, Answer::Refused(_)))
    }

    fn still_holds(&self) -> bool {
        let keyring = self.acceptor.live.keyring();
        let mut drafts = self.new.iter().map(New::draft);
        drafts.all(|draft| draft.still_holds(&keyring))
    }

    fn targets(&self) -> impl Iterator<Item = Target> {
        let drafts = self.new.iter().map(New::draft);
        drafts.flat_map(|draft| targets(&draft.request))
    }

    fn refuse_all(&self, error: &StoreError) -> Vec<Vec<Answer>> {
        let refused = |_: &Wanted| Answer::Refused(error.clone().into());
        let call = |call: &Call| call.wanted.iter().map(refused).collect();
        self.calls.iter().map(call).collect()
    }

    fn answer(&self, answer: Answer, written: &Written) -> Result<Admitted, NotAccepted> {
        if matches!(written, Err(NotWritten::NotWaiting)) {
            return Err(NotAccepted::NotWaiting);
        }
        match answer {
            Answer::Earlier(admitted) => Ok(admitted),
            Answer::Refused(reason) => Err(reason),
            Answer::New(place, opening) => {
                let first = written.clone()?;
                let accepted = AcceptedRequest {
                    number: RequestNumber::new(first.number() + place as u64),
                    request: self.new[place].draft().request.clone(),
                };
                Ok(Admitted { accepted, opening })
            }
        }
    }

    async fn find_earlier(&mut self) -> Result<(), StoreError> {
        let items = self.calls.iter().flat_map(|call| &call.wanted);
        let ids = items.filter_map(|wanted| match wanted {
            Wanted::Shred(id, _) => *id,
            Wanted::Prepared(request) => Some(request.id),
            Wanted::Erase | Wanted::Drop(_) => None,
        });
        let ids: Vec<_> = ids
            .chain(self.calls.iter().filter_map(|call| call.id))
            .collect();
        let found = self.acceptor.ports.store.requests_by_id(&ids).await?;
        self.earlier = found.into_iter().map(|it| (it.request.id, it)).collect();
        Ok(())
    }
}
