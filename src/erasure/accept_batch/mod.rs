//! Erasures of several callers that are accepted together. What is known and what is new is decided here
//! and nowhere else, and nothing new goes on without a permission.

mod decide;
mod write;

use std::collections::HashMap;
use std::sync::Arc;

use lethe_core::erasure::{AcceptedErasure, ErasureNumber};
use lethe_core::ports::StoreError;
use lethe_core::receipt::{ErasureId, Opening};
use lethe_core::refusals::Target;

use super::acceptor::{Acceptor, Call};
use super::draft::{ErasureDraft, PermittedErasure};
use super::pending::targets;
use super::request::{AcceptError, ErasureAnswer, ErasureRequest};
use crate::approvals::Permission;

/// Where an item's answer comes from.
enum Answer {
    /// An erasure that was there already.
    Earlier(ErasureAnswer),
    /// The new erasure of this place, with its opening.
    New(usize, Option<Opening>),
    Refused(AcceptError),
}

/// The first number of the new erasures.
type WriteResult = Result<ErasureNumber, WriteError>;

/// Why nothing was written.
#[derive(Debug, Clone, thiserror::Error)]
enum WriteError {
    #[error("the approval does not wait any more")]
    NotWaiting,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<WriteError> for AcceptError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::NotWaiting => Self::NotWaiting,
            WriteError::Store(error) => error.into(),
        }
    }
}

pub(super) struct AcceptBatch<'a> {
    acceptor: &'a Acceptor,
    calls: Vec<Call>,
    /// Erasures of these ids that the store holds.
    earlier: HashMap<ErasureId, AcceptedErasure>,
    permitted: Vec<PermittedErasure>,
    /// What the new ones are allowed by; what they do not use is given back.
    permissions: Vec<Arc<Permission>>,
    /// New erasures of the call that is being decided; their places come behind those of `permitted`.
    drafts: Vec<ErasureDraft>,
    by_id: HashMap<ErasureId, usize>,
}

impl<'a> AcceptBatch<'a> {
    pub(super) fn new(acceptor: &'a Acceptor, calls: Vec<Call>) -> Self {
        Self {
            acceptor,
            calls,
            earlier: HashMap::new(),
            permitted: Vec::new(),
            permissions: Vec::new(),
            drafts: Vec::new(),
            by_id: HashMap::new(),
        }
    }

    /// Accepts what can be accepted, and answers everybody.
    pub(super) async fn run(mut self) {
        let (answers, written) = match self.find_earlier().await {
            Ok(()) => self.accept().await,
            Err(error) => (self.refuse_all(&error), Ok(ErasureNumber::new(0))),
        };
        self.answer_all(answers, &written);
    }

    fn answer_all(&mut self, answers: Vec<Vec<Answer>>, written: &WriteResult) {
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
    async fn accept(&mut self) -> (Vec<Vec<Answer>>, WriteResult) {
        let refusals = Arc::clone(&self.acceptor.key_state.refusals);
        loop {
            let answers = self.decide().await;
            if !self.is_to_be_written(&answers) {
                return (answers, Ok(ErasureNumber::new(0)));
            }
            let pending = refusals.pend(self.targets());
            let now = self.acceptor.ports.clock.now();
            if self.still_holds() {
                let written = self.write(&pending, now).await;
                return (answers, written);
            }
            refusals.withdraw(&pending);
            self.permitted.clear();
            self.permissions.clear();
            self.by_id.clear();
        }
    }

    /// New erasures are written, and an approval of which anything can be done, though nothing of it is
    /// new.
    fn is_to_be_written(&self, answers: &[Vec<Answer>]) -> bool {
        let mut answers = answers.iter().flatten();
        let given = self.calls.iter().any(|call| call.given().is_some());
        !self.permitted.is_empty() || given && answers.any(|it| !matches!(it, Answer::Refused(_)))
    }

    fn still_holds(&self) -> bool {
        let keyring = self.acceptor.key_state.keyring();
        let mut drafts = self.permitted.iter().map(PermittedErasure::draft);
        drafts.all(|draft| draft.still_holds(&keyring))
    }

    fn targets(&self) -> impl Iterator<Item = Target> {
        let drafts = self.permitted.iter().map(PermittedErasure::draft);
        drafts.flat_map(|draft| targets(&draft.erasure))
    }

    fn refuse_all(&self, error: &StoreError) -> Vec<Vec<Answer>> {
        let refused = |_: &ErasureRequest| Answer::Refused(error.clone().into());
        let call = |call: &Call| call.requests.iter().map(refused).collect();
        self.calls.iter().map(call).collect()
    }

    fn answer(&self, answer: Answer, written: &WriteResult) -> Result<ErasureAnswer, AcceptError> {
        if matches!(written, Err(WriteError::NotWaiting)) {
            return Err(AcceptError::NotWaiting);
        }
        match answer {
            Answer::Earlier(admitted) => Ok(admitted),
            Answer::Refused(reason) => Err(reason),
            Answer::New(place, opening) => {
                let first = written.clone()?;
                let accepted = AcceptedErasure {
                    number: ErasureNumber::new(first.number() + place as u64),
                    erasure: self.permitted[place].draft().erasure.clone(),
                };
                Ok(ErasureAnswer { accepted, opening })
            }
        }
    }

    async fn find_earlier(&mut self) -> Result<(), StoreError> {
        let items = self.calls.iter().flat_map(|call| &call.requests);
        let ids = items.filter_map(|request| match request {
            ErasureRequest::Shred(id, _) => *id,
            ErasureRequest::Prepared(erasure) => Some(erasure.id),
            ErasureRequest::Erase | ErasureRequest::Drop(_) => None,
        });
        let ids: Vec<_> = ids
            .chain(self.calls.iter().filter_map(|call| call.id))
            .collect();
        let found = self.acceptor.ports.store.erasures_by_id(&ids).await?;
        self.earlier = found.into_iter().map(|it| (it.erasure.id, it)).collect();
        Ok(())
    }
}
