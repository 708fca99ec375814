//! Wishes of several callers that are accepted together.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lethe_core::conversation::ConversationId;
use lethe_core::keyring::KeyError;
use lethe_core::keyspace::{KeyVersion, KeyspaceName};
use lethe_core::ports::StoreError;
use lethe_core::receipt::{Opening, RequestId, ShreddedKey};
use lethe_core::refusals::Target;
use lethe_core::request::{AcceptedRequest, Request, RequestNumber, ShredLeaf, Wish};
use lethe_core::time::Timestamp;

use super::acceptor::{Acceptor, Call};
use super::ledger::targets;
use super::lives::{droppable, newest, newest_lives, still_to_do};
use super::new_request::New;
use super::repeated::{again, is_same, opening};
use super::wanted::{Admitted, NotAccepted, Wanted};

/// For the pages of one conversation.
const LOADING: Duration = Duration::from_secs(1);
/// Until the store answers whether a commit was made whose answer was lost.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Where an item's answer comes from.
enum Answer {
    /// A request that was there already.
    Earlier(Admitted),
    /// The new request of this place, with its opening.
    New(usize, Option<Opening>),
    Refused(NotAccepted),
}

pub(super) struct Group<'a> {
    acceptor: &'a Acceptor,
    calls: Vec<Call>,
    /// Requests of these ids that the store holds.
    earlier: HashMap<RequestId, AcceptedRequest>,
    new: Vec<New>,
    by_id: HashMap<RequestId, usize>,
    targets: Vec<Target>,
}

impl<'a> Group<'a> {
    pub(super) fn new(acceptor: &'a Acceptor, calls: Vec<Call>) -> Self {
        Self {
            acceptor,
            calls,
            earlier: HashMap::new(),
            new: Vec::new(),
            by_id: HashMap::new(),
            targets: Vec::new(),
        }
    }

    /// Accepts what can be accepted, and answers everybody.
    pub(super) async fn settle(mut self) {
        let (answers, written) = match self.find_earlier().await {
            Ok(()) => self.accept().await,
            Err(error) => (self.refuse_all(&error), Ok(RequestNumber::new(0))),
        };
        self.tell(answers, &written);
    }

    /// Says what could be accepted.
    pub(super) async fn prepare(mut self) {
        let answers = match self.find_earlier().await {
            Ok(()) => self.decide().await,
            Err(error) => self.refuse_all(&error),
        };
        self.tell(answers, &Ok(RequestNumber::new(0)));
    }

    fn tell(&mut self, answers: Vec<Vec<Answer>>, written: &Result<RequestNumber, StoreError>) {
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
    async fn accept(&mut self) -> (Vec<Vec<Answer>>, Result<RequestNumber, StoreError>) {
        let refusals = Arc::clone(&self.acceptor.live.refusals);
        loop {
            let answers = self.decide().await;
            if self.new.is_empty() {
                return (answers, Ok(RequestNumber::new(0)));
            }
            let pending = refusals.pend(self.targets.iter().copied());
            let now = self.acceptor.ports.clock.now();
            if self.still_holds() {
                let written = self.write(&pending, now).await;
                return (answers, written);
            }
            refusals.withdraw(&pending);
            self.new.clear();
            self.by_id.clear();
            self.targets.clear();
        }
    }

    fn still_holds(&self) -> bool {
        let keyring = self.acceptor.live.keyring();
        self.new.iter().all(|new| new.still_holds(&keyring))
    }

    fn refuse_all(&self, error: &StoreError) -> Vec<Vec<Answer>> {
        let refused = |_: &Wanted| Answer::Refused(error.clone().into());
        let call = |call: &Call| call.wanted.iter().map(refused).collect();
        self.calls.iter().map(call).collect()
    }

    fn answer(
        &self,
        answer: Answer,
        written: &Result<RequestNumber, StoreError>,
    ) -> Result<Admitted, NotAccepted> {
        match answer {
            Answer::Earlier(admitted) => Ok(admitted),
            Answer::Refused(reason) => Err(reason),
            Answer::New(place, opening) => {
                let first = written.clone()?;
                let accepted = AcceptedRequest {
                    number: RequestNumber::new(first.number() + place as u64),
                    request: self.new[place].request.clone(),
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

    async fn decide(&mut self) -> Vec<Vec<Answer>> {
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
                            .and_then(|it| opening(it, &self.new[place].request, &conversation));
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
                let same = opening(keyspace, &self.new[*place].request, conversation);
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
        let version = newest(keyspace)?;
        let id = self.id(id)?;
        let keys = leaves.iter().map(|leaf| ShreddedKey {
            version: leaf.version,
            generation: leaf.generation,
        });
        let opening = Opening {
            salt: version.address_key.commitment_salt(id, conversation),
            keyspace: keyspace.id,
            conversation: conversation.clone(),
            keys: keys.collect(),
        };
        let wish = Wish::Shred {
            tag: version.address_key.idempotency_tag(id, conversation),
            commitment: opening.commitment(),
            leaves,
        };
        let new = New::under(keyspace, id, wish);
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
        let new = New::under(keyspace, id, Wish::EraseKeyspace(name.clone()));
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
        let new = New::under(keyspace, id, Wish::DropVersion(version));
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
            (&self.new[*place].request, Answer::New(*place, None))
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

    fn add(&mut self, new: New) -> usize {
        self.targets.extend(targets(&new.request));
        self.by_id.insert(new.request.id, self.new.len());
        self.new.push(new);
        self.new.len() - 1
    }

    /// Writes the rows down, and refuses the keys for good; the answer waits for both.
    async fn write(
        &mut self,
        pending: &[Target],
        now: Timestamp,
    ) -> Result<RequestNumber, StoreError> {
        let refusals = &self.acceptor.live.refusals;
        for New { request, lease, .. } in &mut self.new {
            request.leases_end_at = request.leases_end_at.max(now.saturating_add(*lease));
            request.accepted_at = now;
        }
        let requests: Vec<Request> = self.new.iter().map(|new| new.request.clone()).collect();
        let written = match self.acceptor.ports.store.accept(&requests).await {
            Err(error) => self.find_out(error).await,
            written => written,
        };
        match &written {
            Ok(first) => {
                refusals.accept(self.targets.iter().copied());
                // Another shred of such a conversation is one of its own: it may have gone on.
                let waited = self.new.iter().filter(|new| new.waited);
                for leaf in waited.flat_map(|new| new.request.leaves()) {
                    refusals.went_on(leaf);
                }
                let numbers = (first.number()..).map(RequestNumber::new);
                let accepted = numbers.zip(requests);
                let accepted =
                    accepted.map(|(number, request)| AcceptedRequest { number, request });
                self.acceptor.ledger.add(accepted);
            }
            Err(error) => {
                tracing::warn!(%error, "requests to forget were not accepted");
                refusals.withdraw(pending);
            }
        }
        written
    }

    /// The commit failed, or its answer was lost: asks the store until it says which. Meanwhile the
    /// keys are neither given out nor refused for good.
    async fn find_out(&self, error: StoreError) -> Result<RequestNumber, StoreError> {
        let first = self.new[0].request.id;
        loop {
            match self.acceptor.ports.store.requests_by_id(&[first]).await {
                Ok(found) => return found.first().map(|it| it.number).ok_or(error),
                Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }
}
