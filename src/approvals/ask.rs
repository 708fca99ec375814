//! Whether a call needs a second word, and the same answer when it is sent again.

use std::collections::HashSet;

use lethe_core::approval::{Act, Approval, ApprovalId, ApprovalState, Voice};
use lethe_core::identity::KeyspaceId;
use lethe_core::keyspace::KeyspaceName;
use lethe_core::ports::{Asking, Entropy, StoreError};
use lethe_core::receipt::RequestId;
use lethe_core::request::Request;
use lethe_core::time::Timestamp;

use super::{MOST, ended};
use crate::forgetting::{Admitted, NotAccepted, Wanted, is_same};
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

/// What became of a call.
pub enum Reply {
    /// For each that was wanted, in order.
    Answered(Vec<Result<Admitted, NotAccepted>>),
    /// Some of it waits for a second operator.
    Waits(Box<Asked>),
}

/// It waits.
pub struct Asked {
    /// What waits.
    pub approval: Approval,
    /// The requests that wait.
    pub requests: Vec<RequestId>,
    /// For each that was wanted: [`NotAccepted::NeedsApproval`] where it waits.
    pub items: Vec<Result<Admitted, NotAccepted>>,
}

impl Question<'_> {
    /// Shreds. The acceptor alone says what is known and what is new, and lets nothing new through
    /// without a permission: what it holds back is written down here, and waits.
    ///
    /// # Errors
    /// [`NotAccepted`]: nothing was accepted, and nothing waits.
    pub async fn shreds(&self, wanted: Vec<Wanted>, alone: bool) -> Result<Reply, NotAccepted> {
        let acceptor = &self.service.acceptor;
        let items = acceptor.accept(self.keyspace.clone(), None, wanted).await?;
        let mut held_back = held_back(&items);
        held_back.retain({
            let mut seen = HashSet::new();
            move |request| seen.insert(request.id)
        });
        let Some(first) = held_back.first() else {
            return Ok(Reply::Answered(items));
        };
        let requests = held_back.iter().map(|it| it.id).collect();
        let approval = match self.asked_before(&held_back).await? {
            Some(approval) => approval,
            None => {
                let conversations = u32::try_from(held_back.len()).unwrap_or(u32::MAX);
                let act = Act::Shred {
                    conversations,
                    alone,
                };
                self.ask(act, first.keyspace, &held_back).await?
            }
        };
        Ok(Reply::Waits(Box::new(Asked {
            approval,
            requests,
            items,
        })))
    }

    /// The erase of a keyspace, or the early drop of a version.
    ///
    /// # Errors
    /// [`NotAccepted`]: nothing was accepted, and nothing waits.
    pub async fn act(
        &self,
        act: Act,
        id: Option<RequestId>,
        wanted: Wanted,
    ) -> Result<Reply, NotAccepted> {
        let acceptor = &self.service.acceptor;
        let wanted = vec![wanted];
        let items = acceptor.accept(self.keyspace.clone(), id, wanted).await?;
        let held_back = held_back(&items);
        let Some(request) = held_back.first() else {
            return Ok(Reply::Answered(items));
        };
        let approval = match self.same_act(act, id).await? {
            Some(approval) => approval,
            None => self.ask(act, request.keyspace, &held_back).await?,
        };
        let store = &self.service.approvals.store;
        let waiting = store.approval_requests(approval.id).await?;
        let requests = waiting.iter().map(|it| it.id).collect();
        Ok(Reply::Waits(Box::new(Asked {
            approval,
            requests,
            items,
        })))
    }

    /// What these wait for already, if all of them wait for the same.
    async fn asked_before(&self, held_back: &[Request]) -> Result<Option<Approval>, NotAccepted> {
        let ids: Vec<RequestId> = held_back.iter().map(|it| it.id).collect();
        let Some(approval) = self.waiting_for(&ids).await? else {
            return Ok(None);
        };
        let store = &self.service.approvals.store;
        let waiting = store.approval_requests(approval.id).await?;
        for request in held_back {
            let same = waiting.iter().find(|it| it.id == request.id);
            if !same.is_some_and(|it| is_same(it, request)) {
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

fn held_back(items: &[Result<Admitted, NotAccepted>]) -> Vec<Request> {
    let request = |item: &Result<Admitted, NotAccepted>| match item {
        Err(NotAccepted::NeedsApproval(request)) => Some((**request).clone()),
        _ => None,
    };
    items.iter().filter_map(request).collect()
}
