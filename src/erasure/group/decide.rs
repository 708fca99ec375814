//! What can be accepted, wish by wish: a new request, one that was there already, or a reason why not.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lethe_core::conversation::ConversationId;
use lethe_core::keyring::KeyError;
use lethe_core::keyspace::{KeyVersion, KeyspaceName};
use lethe_core::receipt::{Opening, RequestId, ShreddedKey};
use lethe_core::request::{Request, ShredLeaf, Wish};

use super::{Answer, Group};
use crate::erasure::acceptor::By;
use crate::erasure::lives::{droppable, newest_lives, still_to_do};
use crate::erasure::new_request::{Draft, New};
use crate::erasure::repeated::{again, is_same, opening};
use crate::erasure::wanted::{Admitted, NotAccepted, Wanted};

/// For the pages of one conversation.
const LOADING: Duration = Duration::from_secs(1);

impl Group<'_> {
    /// One answer for each wish, by call.
    pub(super) async fn decide(&mut self) -> Vec<Vec<Answer>> {
        let mut answers = Vec::with_capacity(self.calls.len());
        for index in 0..self.calls.len() {
            let keyspace = self.calls[index].keyspace.clone();
            let wanted = self.calls[index].wanted.clone();
            let id = self.calls[index].id;
            let mut of_call = Vec::with_capacity(wanted.len());
            // The same conversation twice in a call is one shred.
            let mut places: HashMap<ConversationId, usize> = HashMap::new();
            for wanted in wanted {
                let decided = match wanted {
                    Wanted::Shred(None, conversation) if places.contains_key(&conversation) => {
                        let place = places[&conversation];
                        let keyring = self.acceptor.live.keyring();
                        let opening = keyring
                            .keyspace(&keyspace)
                            .ok()
                            .and_then(|it| opening(it, self.request(place), &conversation));
                        Ok(Answer::New(place, opening))
                    }
                    Wanted::Shred(id, conversation) => {
                        let decided = self.shred(&keyspace, id, &conversation).await;
                        if let Ok(Answer::New(place, _)) = &decided {
                            places.entry(conversation).or_insert(*place);
                        }
                        decided
                    }
                    Wanted::Erase => self.erase(&keyspace, id),
                    Wanted::Drop(version) => self.drop_version(&keyspace, id, version),
                    Wanted::Prepared(request) => self.prepared(&keyspace, *request),
                };
                of_call.push(decided.unwrap_or_else(Answer::Refused));
            }
            self.permit(index, &mut of_call);
            answers.push(of_call);
        }
        answers
    }

    async fn shred(
        &mut self,
        name: &KeyspaceName,
        id: Option<RequestId>,
        conversation: &ConversationId,
    ) -> Result<Answer, NotAccepted> {
        if let Some(id) = id {
            let keyring = self.acceptor.live.keyring();
            let keyspace = keyring.keyspace(name)?;
            if let Some(place) = self.by_id.get(&id) {
                let same = opening(keyspace, self.request(*place), conversation);
                let same = same.ok_or(NotAccepted::IdTaken)?;
                return Ok(Answer::New(*place, Some(same)));
            }
            if let Some(earlier) = self.earlier.get(&id) {
                return again(keyspace, earlier, conversation).map(Answer::Earlier);
            }
        }
        let leaves = self.leaves(name, conversation).await?;
        let keyring = self.acceptor.live.keyring();
        let keyspace = keyring.keyspace(name)?;
        let key = keyspace.deployment_key.as_ref().ok_or(NotAccepted::Busy)?;
        let id = self.id(id)?;
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
        let wish = Wish::Shred {
            tag: key.idempotency_tag(id, conversation),
            commitment: opening.commitment(),
            leaves,
        };
        let new = Draft::under(keyspace, id, wish);
        Ok(Answer::New(self.add(new), Some(opening)))
    }

    /// Loads the pages that it takes.
    async fn leaves(
        &self,
        name: &KeyspaceName,
        conversation: &ConversationId,
    ) -> Result<Vec<ShredLeaf>, NotAccepted> {
        let clock = &self.acceptor.ports.clock;
        let end = clock.since_boot() + LOADING;
        loop {
            let keyring = self.acceptor.live.keyring();
            let sequence = keyring.sequence;
            let keyspace = keyring.keyspace(name)?;
            let page = match keyring.shred_leaves(keyspace, conversation) {
                Err(KeyError::Missing(page)) => page,
                Ok(leaves) => return Ok(leaves),
                Err(error) => return Err(error.into()),
            };
            drop(keyring);
            // One conversation must not hold up all others.
            if clock.since_boot() > end {
                return Err(NotAccepted::Busy);
            }
            let deployment = self.acceptor.deployment;
            self.acceptor.live.load(deployment, &page, sequence).await?;
        }
    }

    fn erase(&mut self, name: &KeyspaceName, id: Option<RequestId>) -> Result<Answer, NotAccepted> {
        if let Some(answer) = self.same(
            id,
            |request| matches!(&request.wish, Wish::EraseKeyspace(erased) if erased == name),
        )? {
            return Ok(answer);
        }
        let keyring = self.acceptor.live.keyring();
        let keyspace = keyring.keyspace(name)?;
        newest_lives(&keyring, keyspace)?;
        let id = self.id(id)?;
        let new = Draft::under(keyspace, id, Wish::EraseKeyspace(name.clone()));
        Ok(Answer::New(self.add(new), None))
    }

    fn drop_version(
        &mut self,
        name: &KeyspaceName,
        id: Option<RequestId>,
        version: KeyVersion,
    ) -> Result<Answer, NotAccepted> {
        let keyring = self.acceptor.live.keyring();
        let keyspace = keyring.keyspace(name)?;
        if let Some(answer) = self.same(id, |request| {
            request.keyspace == keyspace.id && request.wish == Wish::DropVersion(version)
        })? {
            return Ok(answer);
        }
        newest_lives(&keyring, keyspace)?;
        droppable(keyspace, version)?;
        let id = self.id(id)?;
        let new = Draft::under(keyspace, id, Wish::DropVersion(version));
        Ok(Answer::New(self.add(new), None))
    }

    /// One that waited.
    fn prepared(&mut self, name: &KeyspaceName, request: Request) -> Result<Answer, NotAccepted> {
        if let Some(answer) = self.same(Some(request.id), |it| is_same(it, &request))? {
            return Ok(answer);
        }
        let keyring = self.acceptor.live.keyring();
        let new = still_to_do(&keyring, name, request)?;
        Ok(Answer::New(self.add(new), None))
    }

    /// The request that bears this id already, if it is the same one.
    fn same(
        &self,
        id: Option<RequestId>,
        is_same: impl Fn(&Request) -> bool,
    ) -> Result<Option<Answer>, NotAccepted> {
        let Some(id) = id else { return Ok(None) };
        let (request, answer) = if let Some(place) = self.by_id.get(&id) {
            (self.request(*place), Answer::New(*place, None))
        } else if let Some(earlier) = self.earlier.get(&id) {
            let accepted = earlier.clone();
            let opening = None;
            (
                &earlier.request,
                Answer::Earlier(Admitted { accepted, opening }),
            )
        } else {
            return Ok(None);
        };
        if is_same(request) {
            Ok(Some(answer))
        } else {
            Err(NotAccepted::IdTaken)
        }
    }

    /// The caller's id, or a new one.
    fn id(&self, id: Option<RequestId>) -> Result<RequestId, NotAccepted> {
        if let Some(id) = id {
            return Ok(id);
        }
        let mut bytes = [0; 16];
        let drawn = self.acceptor.ports.entropy.fill(&mut bytes);
        drawn.map_err(|error| NotAccepted::Key(error.into()))?;
        let now = self.acceptor.ports.clock.now();
        Ok(RequestId::ordered(bytes, now))
    }

    fn add(&mut self, draft: Draft) -> usize {
        let place = self.new.len() + self.drafts.len();
        self.by_id.insert(draft.request.id, place);
        self.drafts.push(draft);
        place
    }

    fn request(&self, place: usize) -> &Request {
        match place.checked_sub(self.new.len()) {
            Some(place) => &self.drafts[place].request,
            None => &self.new[place].draft().request,
        }
    }

    /// All new requests of a call go on with its permission, or all of them wait for one.
    fn permit(&mut self, call: usize, answers: &mut [Answer]) {
        let drafts = std::mem::take(&mut self.drafts);
        if drafts.is_empty() {
            return;
        }
        let acceptor = self.acceptor;
        let permission = match &self.calls[call].by {
            By::Permission(permission) => Some(Arc::clone(permission)),
            By::Caller(caller) => {
                let requests = drafts.iter().map(|draft| &draft.request);
                let now = acceptor.ports.clock.now();
                let permission = acceptor.approvals.permit(caller, requests, now);
                permission.map(Arc::new)
            }
        };
        let first = self.new.len();
        let drafts = match permission {
            None => drafts,
            Some(permission) => match New::permitted(drafts, &permission) {
                Err(drafts) => drafts,
                Ok(new) => {
                    self.new.extend(new);
                    self.permissions.push(permission);
                    return;
                }
            },
        };
        for draft in &drafts {
            self.by_id.remove(&draft.request.id);
        }
        for answer in answers {
            if let Answer::New(place, _) = answer
                && let Some(place) = place.checked_sub(first)
            {
                let request = Box::new(drafts[place].request.clone());
                *answer = Answer::Refused(NotAccepted::NeedsApproval(request));
            }
        }
    }
}
