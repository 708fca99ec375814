//! Whether a call needs a second word, and the same answer when it is sent again.

use std::collections::HashSet;

use lethe_core::approval::{Act, Approval, ApprovalId, ApprovalState, Voice};
use lethe_core::conversation::ConversationId;
use lethe_core::identity::KeyspaceId;
use lethe_core::keyspace::KeyspaceName;
use lethe_core::ports::{Asking, Entropy, StoreError};
use lethe_core::receipt::RequestId;
use lethe_core::request::Request;
use lethe_core::time::Timestamp;

use super::{MOST, ended};
use crate::forgetting::{NotAccepted, Wanted, is_of};
use crate::service::Service;

/// A call that would destroy.
pub struct Question<'a> {
    /// The service.
    pub service: &'a Service,
    /// Where.
    pub keyspace: &'a KeyspaceName,
    /// Who asks.
    pub by: Voice,
    /// When.
    pub now: Timestamp,
}

/// It waits.
pub struct Asked {
    /// What waits.
    pub approval: Approval,
    /// For each that was wanted: none where it need not wait, because it was accepted before; else
    /// the id of the request that waits, or why it cannot be done.
    pub items: Vec<Option<Result<RequestId, NotAccepted>>>,
}

impl Asked {
    /// The requests that wait.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestId> {
        self.items.iter().flatten().flatten().copied().collect()
    }
}

impl Question<'_> {
    /// Shreds; none when they may be done at once.
    ///
    /// # Errors
    /// [`NotAccepted`]: nothing waits.
    pub async fn shreds(
        &self,
        wanted: &[Wanted],
        alone: bool,
    ) -> Result<Option<Asked>, NotAccepted> {
        let approvals = &self.service.approvals;
        if !approvals.required {
            return Ok(None);
        }
        let known = self.known(wanted).await?;
        let is_new = |wanted: &Wanted| id(wanted).is_none_or(|id| !known.contains(&id));
        let fresh: Vec<Wanted> = wanted.iter().filter(|it| is_new(it)).cloned().collect();
        if fresh.is_empty() {
            return Ok(None);
        }
        if let Some(approval) = self.asked_before(&fresh).await? {
            let items = wanted.iter().map(|it| is_new(it).then(|| id(it).map(Ok))?);
            let items = items.collect();
            return Ok(Some(Asked { approval, items }));
        }
        if approvals.take(distinct(&fresh), self.now) {
            return Ok(None);
        }
        let prepared = self.prepare(None, fresh).await?;
        let requests: Vec<Request> = prepared.iter().flatten().cloned().collect();
        let requests = without_repetitions(requests);
        if requests.is_empty() {
            // Nothing to wait for. Tried at once it might succeed, without the second word.
            let mut reasons = prepared.into_iter().filter_map(Result::err);
            return Err(reasons.next().unwrap_or(NotAccepted::Busy));
        }
        let conversations = u32::try_from(requests.len()).unwrap_or(u32::MAX);
        let act = Act::Shred {
            conversations,
            alone,
        };
        let keyspace = requests.first().map(|request| request.keyspace);
        let keyspace = keyspace.ok_or(NotAccepted::Busy)?;
        let approval = self.ask(act, keyspace, &requests).await?;
        let mut prepared = prepared.into_iter();
        let items = wanted.iter().map(|it| {
            let one = is_new(it).then(|| prepared.next()).flatten();
            one.map(|one| one.map(|request| request.id))
        });
        let items = items.collect();
        Ok(Some(Asked { approval, items }))
    }

    /// The erase of a keyspace, or the early drop of a version; none when it may be done at once.
    ///
    /// # Errors
    /// [`NotAccepted`]: nothing waits.
    pub async fn act(
        &self,
        act: Act,
        id: Option<RequestId>,
        wanted: Wanted,
    ) -> Result<Option<Asked>, NotAccepted> {
        let service = self.service;
        if !service.approvals.required {
            return Ok(None);
        }
        if let Some(id) = id
            && !service.store.requests_by_id(&[id]).await?.is_empty()
        {
            return Ok(None);
        }
        if let Some(approval) = self.same_act(act, id).await? {
            return self.asked(approval).await.map(Some);
        }
        let prepared = self.prepare(id, vec![wanted]).await?;
        let request = prepared.into_iter().next();
        let request = request.unwrap_or(Err(NotAccepted::Busy))?;
        let approval = self.ask(act, request.keyspace, &[request]).await?;
        self.asked(approval).await.map(Some)
    }

    async fn asked(&self, approval: Approval) -> Result<Asked, NotAccepted> {
        let store = &self.service.approvals.store;
        let requests = store.approval_requests(approval.id).await?;
        let items = requests.iter().map(|request| Some(Ok(request.id)));
        let items = items.collect();
        Ok(Asked { approval, items })
    }

    async fn known(&self, wanted: &[Wanted]) -> Result<HashSet<RequestId>, StoreError> {
        let ids: Vec<RequestId> = wanted.iter().filter_map(id).collect();
        let found = self.service.store.requests_by_id(&ids).await?;
        Ok(found.into_iter().map(|it| it.request.id).collect())
    }

    /// What these wait for already, if all of them wait for the same.
    async fn asked_before(&self, fresh: &[Wanted]) -> Result<Option<Approval>, NotAccepted> {
        let ids: Option<Vec<RequestId>> = fresh.iter().map(id).collect();
        let Some(ids) = ids else { return Ok(None) };
        let Some(approval) = self.waiting_for(&ids).await? else {
            return Ok(None);
        };
        let store = &self.service.approvals.store;
        let requests = store.approval_requests(approval.id).await?;
        let keyring = self.service.live.keyring();
        let keyspace = keyring.keyspace(self.keyspace)?;
        for wanted in fresh {
            let request = requests.iter().find(|it| Some(it.id) == id(wanted));
            let same = request
                .zip(conversation(wanted))
                .is_some_and(|(request, conversation)| is_of(keyspace, request, conversation));
            if !same {
                return Err(NotAccepted::IdTaken);
            }
        }
        Ok(Some(approval))
    }

    async fn waiting_for(&self, ids: &[RequestId]) -> Result<Option<Approval>, StoreError> {
        let store = &self.service.approvals.store;
        let waiting = store.waiting_requests(ids).await?;
        let asked: HashSet<RequestId> = ids.iter().copied().collect();
        let mut approvals = waiting.iter().map(|(_, approval)| *approval);
        let Some(first) = approvals.next() else {
            return Ok(None);
        };
        if waiting.len() < asked.len() || approvals.any(|it| it != first) {
            return Ok(None);
        }
        let approval = store.approval(first).await?;
        Ok(approval.filter(|it| self.counts(it)))
    }

    /// The same act that waits already: of this id, or where none is given, of the same caller.
    pub(super) async fn same_act(
        &self,
        act: Act,
        id: Option<RequestId>,
    ) -> Result<Option<Approval>, NotAccepted> {
        // An erased keyspace's name may be another one's by now.
        let keyspace = self.service.live.keyring().keyspace(self.keyspace)?.id;
        let is_same = |it: &Approval| it.act == act && it.keyspace == keyspace;
        let Some(id) = id else {
            let store = &self.service.approvals.store;
            let all = store.approvals(ApprovalState::Waiting, ApprovalId::FIRST, MOST);
            let mut all = all.await?.into_iter();
            let ours = |it: &Approval| is_same(it) && it.asked_by == self.by && self.counts(it);
            return Ok(all.find(ours));
        };
        match self.waiting_for(&[id]).await? {
            Some(approval) if !is_same(&approval) => Err(NotAccepted::IdTaken),
            found => Ok(found),
        }
    }

    fn counts(&self, approval: &Approval) -> bool {
        approval.state == ApprovalState::Waiting
            && ended(self.service, approval, self.now).is_none()
    }

    async fn prepare(
        &self,
        id: Option<RequestId>,
        wanted: Vec<Wanted>,
    ) -> Result<Vec<Result<Request, NotAccepted>>, NotAccepted> {
        let acceptor = &self.service.acceptor;
        let prepared = acceptor.prepare(self.keyspace.clone(), id, wanted).await?;
        let request =
            |one: Result<crate::forgetting::Admitted, _>| one.map(|it| it.accepted.request);
        Ok(prepared.into_iter().map(request).collect())
    }

    /// Writes down what waits.
    pub(super) async fn ask(
        &self,
        act: Act,
        keyspace: KeyspaceId,
        requests: &[Request],
    ) -> Result<Approval, NotAccepted> {
        let approvals = &self.service.approvals;
        let approval = Approval {
            id: self.new_id()?,
            act,
            keyspace,
            keyspace_name: self.keyspace.clone(),
            asked_by: self.by.clone(),
            asked_at: self.now,
            expires_at: approvals.expiry(self.now),
            state: ApprovalState::Waiting,
            second: None,
        };
        let asked = approvals
            .store
            .ask_approval(&approval, requests, approvals.room());
        match asked.await? {
            Asking::Waits => {}
            Asking::Full => return Err(NotAccepted::TooManyWait),
            Asking::ClientFull => return Err(NotAccepted::TooManyOfClient),
        }
        self.service.metrics.approval("asked");
        tracing::warn!(
            approval = %approval.id, keyspace = %self.keyspace, client = %approval.asked_by.client,
            "waits for a second operator: `lethe approve`"
        );
        Ok(approval)
    }

    /// Ordered by time, so that the list is.
    fn new_id(&self) -> Result<ApprovalId, NotAccepted> {
        let mut bytes = [0; 16];
        let drawn = self.service.entropy.fill(&mut bytes);
        drawn.map_err(|error| NotAccepted::Key(error.into()))?;
        Ok(ApprovalId::ordered(bytes, self.now))
    }
}

const fn id(wanted: &Wanted) -> Option<RequestId> {
    match wanted {
        Wanted::Shred(id, _) => *id,
        _ => None,
    }
}

const fn conversation(wanted: &Wanted) -> Option<&ConversationId> {
    match wanted {
        Wanted::Shred(_, conversation) => Some(conversation),
        _ => None,
    }
}

/// The same conversation twice is one shred.
fn distinct(wanted: &[Wanted]) -> usize {
    let all: HashSet<&[u8]> = wanted
        .iter()
        .filter_map(conversation)
        .map(ConversationId::as_bytes)
        .collect();
    all.len()
}

fn without_repetitions(mut requests: Vec<Request>) -> Vec<Request> {
    let mut seen = HashSet::new();
    requests.retain(|request| seen.insert(request.id));
    requests
}
