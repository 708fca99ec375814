//! Decides each request: a new erasure, a known one, or the reason why it is refused.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lethe_core::conversation::ConversationId;
use lethe_core::erasure::{Erasure, ErasureKind, ShredLeaf};
use lethe_core::keyring::KeyError;
use lethe_core::keyspace::{KeyVersion, KeyspaceName};
use lethe_core::ports::StoreError;
use lethe_core::receipt::{ErasureId, Opening, ShreddedKey};

use super::{AcceptBatch, Decision};
use crate::erasure::acceptor::Authority;
use crate::erasure::checks::{check_droppable, check_not_erased, redraft};
use crate::erasure::draft::{ErasureDraft, PermittedErasure};
use crate::erasure::repeated::{answer_again, is_same, open_commitment};
use crate::erasure::request::{AcceptError, ErasureAnswer, ErasureRequest};
use crate::permissions::Permission;

/// How long the pages of one conversation may take to load.
const LOAD_LIMIT: Duration = Duration::from_secs(1);

impl AcceptBatch<'_> {
    /// The decision for each request, by call.
    pub(super) async fn decide(&mut self) -> Vec<Vec<Decision>> {
        let mut answers = Vec::with_capacity(self.calls.len());
        for index in 0..self.calls.len() {
            let keyspace = self.calls[index].keyspace.clone();
            let requests = self.calls[index].requests.clone();
            let id = self.calls[index].id;
            let mut of_call = Vec::with_capacity(requests.len());
            // The same conversation twice in a call is one shred.
            let mut places: HashMap<ConversationId, usize> = HashMap::new();
            for request in requests {
                let decided = match request {
                    ErasureRequest::Shred(None, conversation)
                        if places.contains_key(&conversation) =>
                    {
                        let place = places[&conversation];
                        let keyring = self.acceptor.key_state.keyring();
                        let opening = keyring
                            .keyspace(&keyspace)
                            .ok()
                            .and_then(|it| open_commitment(it, self.erasure(place), &conversation));
                        Ok(Decision::New(place, opening))
                    }
                    ErasureRequest::Shred(id, conversation) => {
                        let decided = self.shred(&keyspace, id, &conversation).await;
                        if let Ok(Decision::New(place, _)) = &decided {
                            places.entry(conversation).or_insert(*place);
                        }
                        decided
                    }
                    ErasureRequest::Erase => self.erase(&keyspace, id),
                    ErasureRequest::Drop(version) => self.drop_version(&keyspace, id, version),
                    ErasureRequest::Prepared(erasure) => self.prepared(&keyspace, *erasure),
                };
                of_call.push(decided.unwrap_or_else(Decision::Refused));
            }
            self.permit(index, &mut of_call).await;
            answers.push(of_call);
        }
        answers
    }

    async fn shred(
        &mut self,
        name: &KeyspaceName,
        id: Option<ErasureId>,
        conversation: &ConversationId,
    ) -> Result<Decision, AcceptError> {
        if let Some(id) = id {
            let keyring = self.acceptor.key_state.keyring();
            let keyspace = keyring.keyspace(name)?;
            if let Some(place) = self.by_id.get(&id) {
                let same = open_commitment(keyspace, self.erasure(*place), conversation);
                let same = same.ok_or(AcceptError::IdTaken)?;
                return Ok(Decision::New(*place, Some(same)));
            }
            if let Some(earlier) = self.earlier.get(&id) {
                return answer_again(keyspace, earlier, conversation).map(Decision::Known);
            }
        }
        let leaves = self.leaves(name, conversation).await?;
        let keyring = self.acceptor.key_state.keyring();
        let keyspace = keyring.keyspace(name)?;
        let key = keyspace.deployment_key.as_ref().ok_or(AcceptError::Busy)?;
        let id = self.id_or_new(id)?;
        let keys = leaves.iter().map(|leaf| ShreddedKey {
            version: leaf.version,
            generation: leaf.generation,
        });
        let opening = Opening {
            salt: key.commitment_salt(id, conversation),
            keyspace: keyspace.id,
            conversation: conversation.clone(),
            keys: keys.collect(),
        };
        let kind = ErasureKind::Shred {
            tag: key.idempotency_tag(id, conversation),
            commitment: opening.commitment(),
            leaves,
        };
        let new = ErasureDraft::new(keyspace, id, kind);
        Ok(Decision::New(self.add(new), Some(opening)))
    }

    /// The leaves of a conversation. Loads the pages that are needed.
    async fn leaves(
        &self,
        name: &KeyspaceName,
        conversation: &ConversationId,
    ) -> Result<Vec<ShredLeaf>, AcceptError> {
        let clock = &self.acceptor.ports.clock;
        let end = clock.since_boot() + LOAD_LIMIT;
        loop {
            let keyring = self.acceptor.key_state.keyring();
            let sequence = keyring.sequence;
            let keyspace = keyring.keyspace(name)?;
            let page = match keyring.shred_leaves(keyspace, conversation) {
                Err(KeyError::Missing(page)) => page,
                Ok(leaves) => return Ok(leaves),
                Err(error) => return Err(error.into()),
            };
            drop(keyring);
            // One conversation must not block all others.
            if clock.since_boot() > end {
                return Err(AcceptError::Busy);
            }
            let deployment = self.acceptor.deployment;
            self.acceptor
                .key_state
                .load(deployment, &page, sequence)
                .await?;
        }
    }

    fn erase(
        &mut self,
        name: &KeyspaceName,
        id: Option<ErasureId>,
    ) -> Result<Decision, AcceptError> {
        if let Some(answer) = self.known(
            id,
            |erasure| matches!(&erasure.kind, ErasureKind::EraseKeyspace(erased) if erased == name),
        )? {
            return Ok(answer);
        }
        let keyring = self.acceptor.key_state.keyring();
        let keyspace = keyring.keyspace(name)?;
        check_not_erased(&keyring, keyspace)?;
        let id = self.id_or_new(id)?;
        let new = ErasureDraft::new(keyspace, id, ErasureKind::EraseKeyspace(name.clone()));
        Ok(Decision::New(self.add(new), None))
    }

    fn drop_version(
        &mut self,
        name: &KeyspaceName,
        id: Option<ErasureId>,
        version: KeyVersion,
    ) -> Result<Decision, AcceptError> {
        let keyring = self.acceptor.key_state.keyring();
        let keyspace = keyring.keyspace(name)?;
        if let Some(answer) = self.known(id, |erasure| {
            erasure.keyspace == keyspace.id && erasure.kind == ErasureKind::DropVersion(version)
        })? {
            return Ok(answer);
        }
        check_not_erased(&keyring, keyspace)?;
        check_droppable(keyspace, version)?;
        let id = self.id_or_new(id)?;
        let new = ErasureDraft::new(keyspace, id, ErasureKind::DropVersion(version));
        Ok(Decision::New(self.add(new), None))
    }

    /// An erasure that waited for a second operator.
    fn prepared(&mut self, name: &KeyspaceName, erasure: Erasure) -> Result<Decision, AcceptError> {
        if let Some(answer) = self.known(Some(erasure.id), |it| is_same(it, &erasure))? {
            return Ok(answer);
        }
        let keyring = self.acceptor.key_state.keyring();
        let new = redraft(&keyring, name, erasure)?;
        Ok(Decision::New(self.add(new), None))
    }

    /// The decision for an id that is known already; none for a new id.
    fn known(
        &self,
        id: Option<ErasureId>,
        is_same: impl Fn(&Erasure) -> bool,
    ) -> Result<Option<Decision>, AcceptError> {
        let Some(id) = id else { return Ok(None) };
        let (erasure, answer) = if let Some(place) = self.by_id.get(&id) {
            (self.erasure(*place), Decision::New(*place, None))
        } else if let Some(earlier) = self.earlier.get(&id) {
            let accepted = earlier.clone();
            let opening = None;
            (
                &earlier.erasure,
                Decision::Known(ErasureAnswer { accepted, opening }),
            )
        } else {
            return Ok(None);
        };
        if is_same(erasure) {
            Ok(Some(answer))
        } else {
            Err(AcceptError::IdTaken)
        }
    }

    /// The caller's id, or a new one.
    fn id_or_new(&self, id: Option<ErasureId>) -> Result<ErasureId, AcceptError> {
        if let Some(id) = id {
            return Ok(id);
        }
        let mut bytes = [0; 16];
        let drawn = self.acceptor.ports.entropy.fill(&mut bytes);
        drawn.map_err(|error| AcceptError::Key(error.into()))?;
        let now = self.acceptor.ports.clock.now();
        Ok(ErasureId::ordered(bytes, now))
    }

    fn add(&mut self, draft: ErasureDraft) -> usize {
        let place = self.permitted.len() + self.drafts.len();
        self.by_id.insert(draft.erasure.id, place);
        self.drafts.push(draft);
        place
    }

    fn erasure(&self, place: usize) -> &Erasure {
        match place.checked_sub(self.permitted.len()) {
            Some(place) => &self.drafts[place].erasure,
            None => &self.permitted[place].draft().erasure,
        }
    }

    /// Gives all new erasures of a call their permission, or refuses all of them.
    async fn permit(&mut self, call: usize, answers: &mut [Decision]) {
        let drafts = std::mem::take(&mut self.drafts);
        if drafts.is_empty() {
            return;
        }
        let permission = self.permission(call, &drafts).await;
        let first = self.permitted.len();
        let (drafts, error) = match permission {
            Err(error) => (drafts, Some(error)),
            Ok(None) => (drafts, None),
            Ok(Some(permission)) => match PermittedErasure::permitted(drafts, &permission) {
                Err(drafts) => (drafts, None),
                Ok(new) => {
                    self.permitted.extend(new);
                    self.permissions.push(permission);
                    return;
                }
            },
        };
        for draft in &drafts {
            self.by_id.remove(&draft.erasure.id);
        }
        for answer in answers {
            if let Decision::New(place, _) = answer
                && let Some(place) = place.checked_sub(first)
            {
                let erasure = &drafts[place].erasure;
                *answer = Decision::Refused(match &error {
                    Some(error) => error.clone().into(),
                    None => AcceptError::NeedsApproval(Box::new(erasure.clone())),
                });
            }
        }
    }

    /// The permission of a call's new erasures; none if they need an approval.
    async fn permission(
        &mut self,
        call: usize,
        drafts: &[ErasureDraft],
    ) -> Result<Option<Arc<Permission>>, StoreError> {
        match &self.calls[call].by {
            Authority::Permission(permission) => Ok(Some(Arc::clone(permission))),
            Authority::Caller(caller) => {
                let acceptor = self.acceptor;
                let erasures: Vec<&Erasure> = drafts.iter().map(|draft| &draft.erasure).collect();
                let now = acceptor.ports.clock.now();
                let permissions = &acceptor.permissions;
                let permission = permissions.permit(caller, &erasures, &mut self.sums, now);
                Ok(permission.await?.map(Arc::new))
            }
        }
    }
}
