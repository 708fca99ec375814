//! Whether a call needs an approval, and the same answer when it is sent again.

use std::collections::HashSet;

use lethe_core::approval::{
    Action, Approval, ApprovalId, ApprovalState, DigestKey, Principal, Scope,
};
use lethe_core::conversation::ConversationId;
use lethe_core::keyspace::KeyspaceName;
use lethe_core::ports::{Enqueued, Entropy, StoreError};
use lethe_core::receipt::RequestId;
use lethe_core::request::Request;
use lethe_core::time::Timestamp;

use super::end::due_end;
use super::{Caller, MOST};
use crate::erasure::{Admitted, NotAccepted, Wanted, is_same};
use crate::service::Service;

/// A call that asks for something that may need an approval.
pub struct Question<'a> {
    /// The service.
    pub service: &'a Service,
    /// Who asks.
    pub by: Principal,
    /// The same, as shreds are counted.
    pub caller: Caller,
    /// When.
    pub now: Timestamp,
    /// Why, in the words of who asks.
    pub reason: Option<Box<str>>,
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
    pub async fn shreds(
        &self,
        keyspace: &KeyspaceName,
        wanted: Vec<Wanted>,
        single: bool,
    ) -> Result<Reply, NotAccepted> {
        let acceptor = &self.service.acceptor;
        let names = match self.service.approvals.required() {
            true => wanted.iter().filter_map(conversation).cloned().collect(),
            false => Vec::new(),
        };
        let items = acceptor.accept(&self.caller, keyspace.clone(), None, wanted);
        let items = items.await?;
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
                let action = Action::Shred {
                    conversations,
                    single,
                };
                let scope = scope(keyspace, first);
                let waits =
                    |item: &Result<_, _>| matches!(item, Err(NotAccepted::NeedsApproval(_)));
                let names = names.iter().zip(&items).filter(|(_, item)| waits(item));
                let names: Vec<&ConversationId> = names.map(|(name, _)| name).collect();
                self.ask(action, Some(scope), &held_back, &names).await?
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
        keyspace: &KeyspaceName,
        action: Action,
        id: Option<RequestId>,
        wanted: Wanted,
    ) -> Result<Reply, NotAccepted> {
        let acceptor = &self.service.acceptor;
        let wanted = vec![wanted];
        let items = acceptor.accept(&self.caller, keyspace.clone(), id, wanted);
        let items = items.await?;
        let held_back = held_back(&items);
        let Some(request) = held_back.first() else {
            return Ok(Reply::Answered(items));
        };
        let scope = Some(scope(keyspace, request));
        let approval = match self.same(action, scope.as_ref(), id).await? {
            Some(approval) => approval,
            None => self.ask(action, scope, &held_back, &[]).await?,
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

    /// What accepts no request: settings of a keyspace, or what concerns the whole deployment.
    ///
    /// # Errors
    /// [`NotAccepted`]: nothing waits.
    pub async fn change(
        &self,
        action: Action,
        scope: Option<Scope>,
    ) -> Result<Approval, NotAccepted> {
        match self.same(action, scope.as_ref(), None).await? {
            Some(approval) => Ok(approval),
            None => self.ask(action, scope, &[], &[]).await,
        }
    }

    /// The same that waits already: of this id, or where none is given, of the same caller.
    async fn same(
        &self,
        action: Action,
        scope: Option<&Scope>,
        id: Option<RequestId>,
    ) -> Result<Option<Approval>, NotAccepted> {
        // An erased keyspace's name may be another one's by now.
        let is_same = |it: &Approval| it.action == action && it.scope.as_ref() == scope;
        let Some(id) = id else {
            let store = &self.service.approvals.store;
            let all = store.waiting_approvals(ApprovalId::FIRST, MOST).await?;
            let ours = |it: &Approval| is_same(it) && it.asked_by == self.by && self.counts(it);
            return Ok(all.into_iter().find(ours));
        };
        match self.waiting_for(&[id]).await? {
            Some(approval) if !is_same(&approval) => Err(NotAccepted::IdTaken),
            found => Ok(found),
        }
    }

    fn counts(&self, approval: &Approval) -> bool {
        approval.state == ApprovalState::Waiting
            && due_end(self.service, approval, self.now).is_none()
    }

    /// Writes down what waits.
    async fn ask(
        &self,
        action: Action,
        scope: Option<Scope>,
        requests: &[Request],
        names: &[&ConversationId],
    ) -> Result<Approval, NotAccepted> {
        let id = self.new_id()?;
        let digest = requests.first().filter(|_| !names.is_empty());
        let digest = digest.zip(scope.as_ref()).and_then(|(request, scope)| {
            let key = digest_key_of(self.service, scope, id, request)?;
            Some(key.digest(names.iter().map(|name| (&scope.name, *name))))
        });
        let approvals = &self.service.approvals;
        let approval = Approval {
            id,
            action,
            scope,
            asked_by: self.by.clone(),
            asked_at: self.now,
            expires_at: approvals.expiry(self.now),
            reason: self.reason.clone(),
            digest,
            state: ApprovalState::Waiting,
            decision: None,
        };
        let asked =
            approvals
                .store
                .ask_approval(&approval, requests, approvals.capacity(self.caller.pool));
        match asked.await? {
            Enqueued::Waits => {}
            Enqueued::Full => return Err(NotAccepted::TooManyWait),
            Enqueued::ClientFull => return Err(NotAccepted::TooManyOfClient),
        }
        self.service.metrics.approval("asked");
        let keyspace = approval.keyspace_name().map(ToString::to_string);
        tracing::warn!(
            approval = %approval.id, keyspace, client = %approval.asked_by.client,
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

/// What the list of an approval's conversations is compared by; none where it names none, or the key
/// version is gone.
///
/// # Errors
/// Of the store.
pub async fn digest_key(
    service: &Service,
    approval: &Approval,
) -> Result<Option<DigestKey>, StoreError> {
    let (Some(scope), Some(_)) = (&approval.scope, approval.digest) else {
        return Ok(None);
    };
    let requests = service
        .approvals
        .store
        .approval_requests(approval.id)
        .await?;
    let key = requests.first();
    Ok(key.and_then(|request| digest_key_of(service, scope, approval.id, request)))
}

/// Derived from the version that was the newest when it was asked for.
fn digest_key_of(
    service: &Service,
    scope: &Scope,
    approval: ApprovalId,
    request: &Request,
) -> Option<DigestKey> {
    let newest = request.shredded_keys().last()?.version;
    let keyring = service.live.keyring();
    let keyspace = keyring.keyspaces.get(&scope.name)?;
    let mut versions = keyspace.versions.iter();
    let version = versions.find(|it| it.tree.version == newest);
    let version = version.filter(|_| keyspace.id == scope.id)?;
    Some(version.address_key.digest_key(approval))
}

const fn conversation(wanted: &Wanted) -> Option<&ConversationId> {
    match wanted {
        Wanted::Shred(_, conversation) => Some(conversation),
        _ => None,
    }
}

fn scope(keyspace: &KeyspaceName, request: &Request) -> Scope {
    Scope {
        id: request.keyspace,
        name: keyspace.clone(),
    }
}

fn held_back(items: &[Result<Admitted, NotAccepted>]) -> Vec<Request> {
    let request = |item: &Result<Admitted, NotAccepted>| match item {
        Err(NotAccepted::NeedsApproval(request)) => Some((**request).clone()),
        _ => None,
    };
    items.iter().filter_map(request).collect()
}
