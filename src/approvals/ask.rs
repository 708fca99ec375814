//! Whether a call needs an approval, and the same answer when it is sent again.

use std::collections::HashSet;

use lethe_core::approval::{
    Action, Approval, ApprovalId, ApprovalState, DigestKey, Principal, Scope,
};
use lethe_core::conversation::ConversationId;
use lethe_core::erasure::Erasure;
use lethe_core::keyspace::KeyspaceName;
use lethe_core::ports::{Enqueued, Entropy, StoreError};
use lethe_core::receipt::ErasureId;
use lethe_core::time::Timestamp;

use super::end::due_end;
use super::{Caller, MOST};
use crate::erasure::{AcceptError, ErasureAnswer, ErasureRequest, is_same};
use crate::service::Service;

/// A call that asks for something that may need an approval.
pub struct ApprovalCheck<'a> {
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
    /// For each request, in order.
    Answered(Vec<Result<ErasureAnswer, AcceptError>>),
    /// Some of it waits for a second operator.
    Waits(Box<Asked>),
}

/// It waits.
pub struct Asked {
    /// What waits.
    pub approval: Approval,
    /// The erasures that wait.
    pub erasures: Vec<ErasureId>,
    /// For each request: [`AcceptError::NeedsApproval`] where it waits.
    pub items: Vec<Result<ErasureAnswer, AcceptError>>,
}

impl ApprovalCheck<'_> {
    /// Shreds. The acceptor alone says what is known and what is new, and lets nothing new through
    /// without a permission: what it holds back is written down here, and waits.
    ///
    /// # Errors
    /// [`AcceptError`]: nothing was accepted, and nothing waits.
    pub async fn shreds(
        &self,
        keyspace: &KeyspaceName,
        requests: Vec<ErasureRequest>,
        single: bool,
    ) -> Result<Reply, AcceptError> {
        let acceptor = &self.service.acceptor;
        let names = match self.service.approvals.required() {
            true => requests.iter().filter_map(conversation).cloned().collect(),
            false => Vec::new(),
        };
        let items = acceptor.accept(&self.caller, keyspace.clone(), None, requests);
        let items = items.await?;
        let mut held_back = held_back(&items);
        held_back.retain({
            let mut seen = HashSet::new();
            move |erasure| seen.insert(erasure.id)
        });
        let Some(first) = held_back.first() else {
            return Ok(Reply::Answered(items));
        };
        let erasures = held_back.iter().map(|it| it.id).collect();
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
                    |item: &Result<_, _>| matches!(item, Err(AcceptError::NeedsApproval(_)));
                let names = names.iter().zip(&items).filter(|(_, item)| waits(item));
                let names: Vec<&ConversationId> = names.map(|(name, _)| name).collect();
                self.ask(action, Some(scope), &held_back, &names).await?
            }
        };
        Ok(Reply::Waits(Box::new(Asked {
            approval,
            erasures,
            items,
        })))
    }

    /// The erase of a keyspace, or the early drop of a version.
    ///
    /// # Errors
    /// [`AcceptError`]: nothing was accepted, and nothing waits.
    pub async fn act(
        &self,
        keyspace: &KeyspaceName,
        action: Action,
        id: Option<ErasureId>,
        request: ErasureRequest,
    ) -> Result<Reply, AcceptError> {
        let acceptor = &self.service.acceptor;
        let requests = vec![request];
        let items = acceptor.accept(&self.caller, keyspace.clone(), id, requests);
        let items = items.await?;
        let held_back = held_back(&items);
        let Some(erasure) = held_back.first() else {
            return Ok(Reply::Answered(items));
        };
        let scope = Some(scope(keyspace, erasure));
        let approval = match self.same(action, scope.as_ref(), id).await? {
            Some(approval) => approval,
            None => self.ask(action, scope, &held_back, &[]).await?,
        };
        let store = &self.service.approvals.store;
        let waiting = store.approval_erasures(approval.id).await?;
        let erasures = waiting.iter().map(|it| it.id).collect();
        Ok(Reply::Waits(Box::new(Asked {
            approval,
            erasures,
            items,
        })))
    }

    /// What these wait for already, if all of them wait for the same.
    async fn asked_before(&self, held_back: &[Erasure]) -> Result<Option<Approval>, AcceptError> {
        let ids: Vec<ErasureId> = held_back.iter().map(|it| it.id).collect();
        let Some(approval) = self.waiting_for(&ids).await? else {
            return Ok(None);
        };
        let store = &self.service.approvals.store;
        let waiting = store.approval_erasures(approval.id).await?;
        for erasure in held_back {
            let same = waiting.iter().find(|it| it.id == erasure.id);
            if !same.is_some_and(|it| is_same(it, erasure)) {
                return Err(AcceptError::IdTaken);
            }
        }
        Ok(Some(approval))
    }

    async fn waiting_for(&self, ids: &[ErasureId]) -> Result<Option<Approval>, StoreError> {
        let store = &self.service.approvals.store;
        let waiting = store.waiting_erasures(ids).await?;
        let asked: HashSet<ErasureId> = ids.iter().copied().collect();
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

    /// What accepts no erasure: settings of a keyspace, or what concerns the whole deployment.
    ///
    /// # Errors
    /// [`AcceptError`]: nothing waits.
    pub async fn change(
        &self,
        action: Action,
        scope: Option<Scope>,
    ) -> Result<Approval, AcceptError> {
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
        id: Option<ErasureId>,
    ) -> Result<Option<Approval>, AcceptError> {
        // An erased keyspace's name may be another one's by now.
        let is_same = |it: &Approval| it.action == action && it.scope.as_ref() == scope;
        let Some(id) = id else {
            let store = &self.service.approvals.store;
            let all = store.waiting_approvals(ApprovalId::FIRST, MOST).await?;
            let ours = |it: &Approval| is_same(it) && it.asked_by == self.by && self.counts(it);
            return Ok(all.into_iter().find(ours));
        };
        match self.waiting_for(&[id]).await? {
            Some(approval) if !is_same(&approval) => Err(AcceptError::IdTaken),
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
        erasures: &[Erasure],
        names: &[&ConversationId],
    ) -> Result<Approval, AcceptError> {
        let id = self.new_id()?;
        let digest = erasures.first().filter(|_| !names.is_empty());
        let digest = digest.zip(scope.as_ref()).and_then(|(erasure, scope)| {
            let key = digest_key_of(self.service, scope, id, erasure)?;
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
                .ask_approval(&approval, erasures, approvals.capacity(self.caller.pool));
        match asked.await? {
            Enqueued::Waits => {}
            Enqueued::Full => return Err(AcceptError::TooManyWait),
            Enqueued::ClientFull => return Err(AcceptError::TooManyOfClient),
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
    fn new_id(&self) -> Result<ApprovalId, AcceptError> {
        let mut bytes = [0; 16];
        let drawn = self.service.entropy.fill(&mut bytes);
        drawn.map_err(|error| AcceptError::Key(error.into()))?;
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
    let erasures = service
        .approvals
        .store
        .approval_erasures(approval.id)
        .await?;
    let key = erasures.first();
    Ok(key.and_then(|erasure| digest_key_of(service, scope, approval.id, erasure)))
}

/// Derived from the version that was the newest when it was asked for.
fn digest_key_of(
    service: &Service,
    scope: &Scope,
    approval: ApprovalId,
    erasure: &Erasure,
) -> Option<DigestKey> {
    let newest = erasure.shredded_keys().last()?.version;
    let keyring = service.key_state.keyring();
    let keyspace = keyring.keyspaces.get(&scope.name)?;
    let mut versions = keyspace.versions.iter();
    let version = versions.find(|it| it.tree.version == newest);
    let version = version.filter(|_| keyspace.id == scope.id)?;
    Some(version.address_key.digest_key(approval))
}

const fn conversation(request: &ErasureRequest) -> Option<&ConversationId> {
    match request {
        ErasureRequest::Shred(_, conversation) => Some(conversation),
        _ => None,
    }
}

fn scope(keyspace: &KeyspaceName, erasure: &Erasure) -> Scope {
    Scope {
        id: erasure.keyspace,
        name: keyspace.clone(),
    }
}

fn held_back(items: &[Result<ErasureAnswer, AcceptError>]) -> Vec<Erasure> {
    let erasure = |item: &Result<ErasureAnswer, AcceptError>| match item {
        Err(AcceptError::NeedsApproval(erasure)) => Some((**erasure).clone()),
        _ => None,
    };
    items.iter().filter_map(erasure).collect()
}
