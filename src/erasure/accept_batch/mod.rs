//! The erasures of several calls that are accepted in one transaction. Only here it is decided which of
//! them are known and which are new. A new one needs a permission.

mod decide;
mod write;

use std::collections::HashMap;
use std::sync::Arc;

use lethe_core::approval::ShredSums;
use lethe_core::erasure::{AcceptedErasure, ErasureNumber};
use lethe_core::ports::StoreError;
use lethe_core::receipt::{ErasureId, Opening};
use lethe_core::refusals::Target;

use super::acceptor::{Acceptor, Call};
use super::draft::{ErasureDraft, PermittedErasure};
use super::pending::targets;
use super::request::{AcceptError, ErasureAnswer, ErasureRequest};
use crate::permissions::Permission;

/// What was decided about one request.
enum Decision {
    /// The id has an accepted erasure already.
    Known(ErasureAnswer),
    /// It is the new erasure with this index, and this opens its commitment.
    New(usize, Option<Opening>),
    /// It cannot be accepted.
    Refused(AcceptError),
}

/// The number of the first new erasure.
type WriteResult = Result<ErasureNumber, WriteError>;

/// Why nothing was written.
#[derive(Debug, Clone, thiserror::Error)]
enum WriteError {
    /// The approval was withdrawn, has ended, or was approved before.
    #[error("the approval does not wait any more")]
    NotWaiting,
    /// The store failed.
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

/// The calls of one transaction, and what was decided about them.
pub(super) struct AcceptBatch<'a> {
    acceptor: &'a Acceptor,
    calls: Vec<Call>,
    /// Accepted erasures with ids of these calls.
    earlier: HashMap<ErasureId, AcceptedErasure>,
    /// New erasures, in the order of their numbers.
    permitted: Vec<PermittedErasure>,
    /// The windows that these calls count in, as the store has them and with what these calls add.
    sums: ShredSums,
    /// The permissions of the new erasures.
    permissions: Vec<Arc<Permission>>,
    /// New erasures of the call that is being decided: their indices follow those of `permitted`.
    drafts: Vec<ErasureDraft>,
    /// The indices of new erasures.
    by_id: HashMap<ErasureId, usize>,
}

impl<'a> AcceptBatch<'a> {
    pub(super) fn new(acceptor: &'a Acceptor, calls: Vec<Call>) -> Self {
        Self {
            acceptor,
            calls,
            earlier: HashMap::new(),
            permitted: Vec::new(),
            sums: ShredSums::new(),
            permissions: Vec::new(),
            drafts: Vec::new(),
            by_id: HashMap::new(),
        }
    }

    /// Accepts what can be accepted, and answers all calls.
    pub(super) async fn run(mut self) {
        let (answers, written) = match self.find_earlier().await {
            Ok(()) => self.accept().await,
            Err(error) => (self.refuse_all(&error), Ok(ErasureNumber::new(0))),
        };
        self.answer_all(answers, &written);
    }

    fn answer_all(&mut self, answers: Vec<Vec<Decision>>, written: &WriteResult) {
        let calls = std::mem::take(&mut self.calls);
        for (call, answers) in calls.into_iter().zip(answers) {
            let answers = answers.into_iter().map(|it| self.answer(it, written));
            // The caller may not wait any more.
            let _ = call.answer.send(answers.collect());
        }
    }

    /// Decides, marks the keys as pending, and then checks whether the decision still holds. If a rotation,
    /// an issue, new settings or shreds of other processes came in between, it decides again.
    async fn accept(&mut self) -> (Vec<Vec<Decision>>, WriteResult) {
        let refusals = Arc::clone(&self.acceptor.key_state.refusals);
        loop {
            let answers = self.decide().await;
            if !self.is_to_be_written(&answers) {
                return (answers, Ok(ErasureNumber::new(0)));
            }
            let pending = refusals.pend(self.targets());
            let now = self.acceptor.ports.clock.now();
            if self.still_holds()
                && let Some(written) = self.write(&pending, now).await
            {
                return (answers, written);
            }
            refusals.withdraw(&pending);
            self.permitted.clear();
            self.sums.clear();
            self.permissions.clear();
            self.by_id.clear();
        }
    }

    /// Whether there is something to write: new erasures, or an approval whose erasures are not all refused.
    fn is_to_be_written(&self, answers: &[Vec<Decision>]) -> bool {
        let mut answers = answers.iter().flatten();
        let approved = self.calls.iter().any(|call| call.approval().is_some());
        !self.permitted.is_empty()
            || approved && answers.any(|it| !matches!(it, Decision::Refused(_)))
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

    fn refuse_all(&self, error: &StoreError) -> Vec<Vec<Decision>> {
        let refused = |_: &ErasureRequest| Decision::Refused(error.clone().into());
        let call = |call: &Call| call.requests.iter().map(refused).collect();
        self.calls.iter().map(call).collect()
    }

    fn answer(
        &self,
        decision: Decision,
        written: &WriteResult,
    ) -> Result<ErasureAnswer, AcceptError> {
        if matches!(written, Err(WriteError::NotWaiting)) {
            return Err(AcceptError::NotWaiting);
        }
        match decision {
            Decision::Known(admitted) => Ok(admitted),
            Decision::Refused(reason) => Err(reason),
            Decision::New(place, opening) => {
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
