//! Checks whether a call needs an approval, and asks for one. A call that is sent again gets the same approval.

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
use super::{Approvals, MAX_WAITING};
use crate::erasure::{AcceptError, ErasureAnswer, ErasureRequest, is_same};
use crate::permissions::Caller;

/// The check of one call.
pub struct ApprovalCheck<'a> {
    /// The approvals.
    pub approvals: &'a Approvals,
    /// The client, by its name and its key.
    pub by: Principal,
    /// The client, as its shreds are counted.
    pub caller: Caller,
    /// The time of the call.
    pub now: Timestamp,
    /// The reason that the client gave.
    pub reason: Option<Box<str>>,
}

/// What became of the erasures of a call.
pub enum CheckResult {
    /// None of them needs an approval: the answer for each request, in order.
    Answered(Vec<Result<ErasureAnswer, AcceptError>>),
    /// Some of them wait for a second operator.
    Pending(Box<PendingApproval>),
}

/// Erasures that wait, and their approval.
pub struct PendingApproval {
    /// The approval that they wait for.
    pub approval: Approval,
    /// The ids of the erasures that wait.
    pub erasures: Vec<ErasureId>,
    /// The answer for each request, in order: [`AcceptError::NeedsApproval`] for those that wait.
    pub items: Vec<Result<ErasureAnswer, AcceptError>>,
}

impl ApprovalCheck<'_> {
    /// Shreds conversations. The acceptor decides which requests are new, and accepts no new one without a
    /// permission. An approval is asked for those that it refused because of that.
    ///
    /// # Errors
    /// [`AcceptError`] if nothing was accepted and nothing waits.
    pub async fn shreds(
        &self,
        keyspace: &KeyspaceName,
        requests: Vec<ErasureRequest>,
        single: bool,
    ) -> Result<CheckResult, AcceptError> {
        let acceptor = &self.approvals.acceptor;
        let names = match self.approvals.permissions.required() {
            true => requests.iter().filter_map(conversation).cloned().collect(),
            false => Vec::new(),
        };
        let items = acceptor.accept(&self.caller, keyspace.clone(), None, requests);
        let items = items.await?;
        let mut waiting = needing_approval(&items);
        waiting.retain({
            let mut seen = HashSet::new();
            move |erasure| seen.insert(erasure.id)
        });
        let Some(first) = waiting.first() else {
            return Ok(CheckResult::Answered(items));
        };
        let erasures = waiting.iter().map(|it| it.id).collect();
        let approval = match self.asked_before(&waiting).await? {
            Some(approval) => approval,
            None => {
                let conversations = u32::try_from(waiting.len()).unwrap_or(u32::MAX);
                let action = Action::Shred {
                    conversations,
                    single,
                };
                let scope = scope(keyspace, first);
                let waits =
                    |item: &Result<_, _>| matches!(item, Err(AcceptError::NeedsApproval(_)));
                let names = names.iter().zip(&items).filter(|(_, item)| waits(item));
                let names: Vec<&ConversationId> = names.map(|(name, _)| name).collect();
                self.ask(action, Some(scope), &waiting, &names).await?
            }
        };
        Ok(CheckResult::Pending(Box::new(PendingApproval {
            approval,
            erasures,
            items,
        })))
    }

    /// Erases a keyspace, or drops a version that can still be read.
    ///
    /// # Errors
    /// [`AcceptError`] if nothing was accepted and nothing waits.
    pub async fn erase_or_drop(
        &self,
        keyspace: &KeyspaceName,
        action: Action,
        id: Option<ErasureId>,
        request: ErasureRequest,
    ) -> Result<CheckResult, AcceptError> {
        let acceptor = &self.approvals.acceptor;
        let requests = vec![request];
        let items = acceptor.accept(&self.caller, keyspace.clone(), id, requests);
        let items = items.await?;
        let waiting = needing_approval(&items);
        let Some(erasure) = waiting.first() else {
            return Ok(CheckResult::Answered(items));
        };
        let scope = Some(scope(keyspace, erasure));
        let approval = match self.same_action(action, scope.as_ref(), id).await? {
            Some(approval) => approval,
            None => self.ask(action, scope, &waiting, &[]).await?,
        };
        let store = &self.approvals.store;
        let stored = store.approval_erasures(approval.id).await?;
        let erasures = stored.iter().map(|it| it.id).collect();
        Ok(CheckResult::Pending(Box::new(PendingApproval {
            approval,
            erasures,
            items,
        })))
    }

    /// The approval that all of these erasures wait for already, if it is one.
    async fn asked_before(&self, waiting: &[Erasure]) -> Result<Option<Approval>, AcceptError> {
        let ids: Vec<ErasureId> = waiting.iter().map(|it| it.id).collect();
        let Some(approval) = self.approval_of(&ids).await? else {
            return Ok(None);
        };
        let store = &self.approvals.store;
        let stored = store.approval_erasures(approval.id).await?;
        for erasure in waiting {
            let same = stored.iter().find(|it| it.id == erasure.id);
            if !same.is_some_and(|it| is_same(it, erasure)) {
                return Err(AcceptError::IdTaken);
            }
        }
        Ok(Some(approval))
    }

    /// The approval that all of these ids wait for, if it is one.
    async fn approval_of(&self, ids: &[ErasureId]) -> Result<Option<Approval>, StoreError> {
        let store = &self.approvals.store;
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
        Ok(approval.filter(|it| self.still_waits(it)))
    }

    /// Asks for an action without erasures: settings of a keyspace, or an action on the whole deployment.
    ///
    /// # Errors
    /// [`AcceptError`] if nothing waits.
    pub async fn change(
        &self,
        action: Action,
        scope: Option<Scope>,
    ) -> Result<Approval, AcceptError> {
        match self.same_action(action, scope.as_ref(), None).await? {
            Some(approval) => Ok(approval),
            None => self.ask(action, scope, &[], &[]).await,
        }
    }

    /// The same action that waits already: with this id or, without one, of the same client.
    async fn same_action(
        &self,
        action: Action,
        scope: Option<&Scope>,
        id: Option<ErasureId>,
    ) -> Result<Option<Approval>, AcceptError> {
        // The scope has the id, because a new keyspace may have the name of an erased one.
        let is_same = |it: &Approval| it.action == action && it.scope.as_ref() == scope;
        let Some(id) = id else {
            let store = &self.approvals.store;
            let all = store
                .waiting_approvals(ApprovalId::FIRST, MAX_WAITING)
                .await?;
            let ours =
                |it: &Approval| is_same(it) && it.asked_by == self.by && self.still_waits(it);
            return Ok(all.into_iter().find(ours));
        };
        match self.approval_of(&[id]).await? {
            Some(approval) if !is_same(&approval) => Err(AcceptError::IdTaken),
            found => Ok(found),
        }
    }

    fn still_waits(&self, approval: &Approval) -> bool {
        approval.state == ApprovalState::Waiting
            && due_end(self.approvals, approval, self.now).is_none()
    }

    /// Writes an approval that waits to the store.
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
            let key = digest_key_of(self.approvals, scope, id, erasure)?;
            Some(key.digest(names.iter().map(|name| (&scope.name, *name))))
        });
        let approvals = self.approvals;
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
            Enqueued::Waiting => {}
            Enqueued::Full => return Err(AcceptError::TooManyWait),
            Enqueued::ClientFull => return Err(AcceptError::TooManyOfClient),
        }
        self.approvals.metrics.approval("asked");
        let keyspace = approval.keyspace_name().map(ToString::to_string);
        tracing::warn!(
            approval = %approval.id, keyspace, client = %approval.asked_by.client,
            "an approval waits for a second operator: `lethe approve`"
        );
        Ok(approval)
    }

    /// A new id. Ids are in the order of time, and so is the list of approvals.
    fn new_id(&self) -> Result<ApprovalId, AcceptError> {
        let mut bytes = [0; 16];
        let drawn = self.approvals.entropy.fill(&mut bytes);
        drawn.map_err(|error| AcceptError::Key(error.into()))?;
        Ok(ApprovalId::ordered(bytes, self.now))
    }
}

/// The key of the digest over an approval's conversations; none if it has no digest, or if its key version
/// is dropped.
///
/// # Errors
/// Of the store.
pub async fn digest_key(
    approvals: &Approvals,
    approval: &Approval,
) -> Result<Option<DigestKey>, StoreError> {
    let (Some(scope), Some(_)) = (&approval.scope, approval.digest) else {
        return Ok(None);
    };
    let erasures = approvals.store.approval_erasures(approval.id).await?;
    let key = erasures.first();
    Ok(key.and_then(|erasure| digest_key_of(approvals, scope, approval.id, erasure)))
}

/// Derived from the address key of the version that was the newest when it was asked for.
fn digest_key_of(
    approvals: &Approvals,
    scope: &Scope,
    approval: ApprovalId,
    erasure: &Erasure,
) -> Option<DigestKey> {
    let newest = erasure.shredded_keys().last()?.version;
    let keyring = approvals.node.key_state.keyring();
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

fn needing_approval(items: &[Result<ErasureAnswer, AcceptError>]) -> Vec<Erasure> {
    let erasure = |item: &Result<ErasureAnswer, AcceptError>| match item {
        Err(AcceptError::NeedsApproval(erasure)) => Some((**erasure).clone()),
        _ => None,
    };
    items.iter().filter_map(erasure).collect()
}
