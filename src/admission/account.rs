use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::records::Records;
use super::share::Share;
use crate::config::QuotaSection;
use crate::identity::SpiffeId;
use crate::observability::metrics::Metrics;

/// Bytes that a body counts beside its own: those of the buffers that hold it.
const BODY: usize = 4_096;

/// What all identities of one class share: all clients with a grant, or all strangers.
#[derive(Debug)]
pub(super) struct Shares {
    pub(super) connections: Share,
    pub(super) requests: Share,
    /// Answers to refused requests that are not sent yet, because their clients do not read.
    pub(super) answers: Share,
    pub(super) body_bytes: Share,
}

impl Shares {
    pub(super) fn new(
        connections: usize,
        requests: usize,
        body_bytes: usize,
        metrics: &Metrics,
    ) -> Arc<Self> {
        let share = |name, most| Share::new(name, most, metrics.budget_exceeded(name));
        Arc::new(Self {
            connections: share("connections", connections),
            requests: share("requests", requests),
            answers: share("answers", requests),
            body_bytes: share("body_bytes", body_bytes),
        })
    }
}

/// What one identity holds: a client with a grant, or all strangers together.
#[derive(Debug)]
pub struct Account {
    /// The client that the account belongs to; none for the account of all strangers.
    client: Option<SpiffeId>,
    shares: Arc<Shares>,
    connections: AtomicUsize,
    requests: AtomicUsize,
    answers: AtomicUsize,
    body_bytes: AtomicUsize,
    records: Records,
}

impl Account {
    pub(super) fn new(
        client: Option<SpiffeId>,
        shares: Arc<Shares>,
        records: QuotaSection,
    ) -> Self {
        Self {
            client,
            shares,
            connections: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            answers: AtomicUsize::new(0),
            body_bytes: AtomicUsize::new(0),
            records: Records::new(records),
        }
    }

    pub(super) fn with_answers_per_second(mut self, rate: u32) -> Self {
        self.records.delay_answers(rate);
        self
    }

    /// The client that the account belongs to; none for the account of all strangers.
    #[must_use]
    pub const fn client(&self) -> Option<&SpiffeId> {
        self.client.as_ref()
    }

    /// Counts one more connection of this identity; none if its share has no place.
    #[must_use]
    pub(super) fn connect(self: &Arc<Self>) -> Option<ConnectionPermit> {
        let taken = self.shares.connections.take(&self.connections, 1);
        taken.then(|| ConnectionPermit(Arc::clone(self)))
    }

    /// A permit for one more request. It holds no share before [`RequestPermit::admit`].
    #[must_use]
    pub fn request(self: &Arc<Self>) -> RequestPermit {
        RequestPermit {
            account: Arc::clone(self),
            requests: 0,
            answers: 0,
            body_bytes: 0,
        }
    }

    /// Whether the next refusal gets an audit record of its own. Otherwise it is only counted.
    #[must_use]
    pub fn may_record_refusal(&self) -> bool {
        self.records.may_record()
    }

    /// Counts refusals that have no audit record of their own.
    pub fn count_unrecorded(&self, count: u64) {
        self.records.count(count);
    }

    pub(super) fn take_unrecorded(&self) -> u64 {
        self.records.take()
    }

    /// How long the next answer is delayed, so that strangers do not take the processor from others.
    #[must_use]
    pub fn answer_delay(&self) -> Option<Duration> {
        self.records.answer_delay()
    }

    /// Whether the account holds and counts nothing, so that it can be dropped.
    pub(super) fn is_fresh(&self) -> bool {
        self.records.is_fresh()
    }
}

/// A connection of a client with a grant, until it is dropped.
#[derive(Debug)]
pub struct ConnectionPermit(Arc<Account>);

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let account = &self.0;
        account
            .shares
            .connections
            .give_back(&account.connections, 1);
    }
}

/// What one request holds of its identity's shares. It is dropped when the answer is sent.
#[derive(Debug)]
pub struct RequestPermit {
    account: Arc<Account>,
    requests: usize,
    answers: usize,
    body_bytes: usize,
}

impl RequestPermit {
    /// Takes room for a body of at least `bytes` bytes; false if there is none.
    #[must_use]
    pub fn begin_body(&mut self, bytes: usize) -> bool {
        self.read(bytes + BODY)
    }

    /// Takes room for more bytes of the body than were announced; false if there is none.
    #[must_use]
    pub fn read(&mut self, bytes: usize) -> bool {
        let account = &self.account;
        let taken = account.shares.body_bytes.take(&account.body_bytes, bytes);
        self.body_bytes += if taken { bytes } else { 0 };
        taken
    }

    /// Takes a place for running the request; false if there is none.
    #[must_use]
    pub fn admit(&mut self) -> bool {
        let account = &self.account;
        let taken = account.shares.requests.take(&account.requests, 1);
        self.requests += usize::from(taken);
        taken
    }

    /// Counts the bytes of the answer until it is sent.
    pub fn answer(&mut self, bytes: usize) {
        // Small answers are bounded by the number of requests.
        if bytes > BODY {
            let account = &self.account;
            account
                .shares
                .body_bytes
                .take_anyway(&account.body_bytes, bytes);
            self.body_bytes += bytes;
        }
    }

    /// The request is refused: it gives back its place and its bytes, and takes a place for an answer.
    /// False if its client has too many answers that it does not read.
    #[must_use]
    pub fn refuse(&mut self) -> bool {
        self.give_back();
        let account = &self.account;
        let taken = account.shares.answers.take(&account.answers, 1);
        self.answers = usize::from(taken);
        taken
    }

    fn give_back(&mut self) {
        let Account {
            shares,
            requests,
            answers,
            body_bytes,
            ..
        } = &*self.account;
        for (share, own, count) in [
            (&shares.requests, requests, &mut self.requests),
            (&shares.answers, answers, &mut self.answers),
            (&shares.body_bytes, body_bytes, &mut self.body_bytes),
        ] {
            let count = std::mem::take(count);
            if count > 0 {
                share.give_back(own, count);
            }
        }
    }
}

impl Drop for RequestPermit {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn accounts() -> (Arc<Shares>, [Arc<Account>; 2]) {
        let (metrics, _) = Metrics::new();
        let shares = Shares::new(10, 10, 1 << 20, &metrics);
        let rate = QuotaSection {
            per_second: NonZeroU32::MIN,
            burst: NonZeroU32::MIN,
        };
        let account = |name: &str| {
            let client = Some(name.parse().unwrap());
            Arc::new(Account::new(client, Arc::clone(&shares), rate))
        };
        let both = [account("spiffe://d/a"), account("spiffe://d/b")];
        (shares, both)
    }

    #[test]
    fn a_refusal_holds_an_answer_and_nothing_else() {
        let (shares, [client, _]) = accounts();
        let mut permit = client.request();
        assert!(permit.begin_body(1_000) && permit.admit());
        assert_eq!(shares.body_bytes.taken(), 1_000 + BODY);
        assert!(permit.refuse());
        let taken = [&shares.requests, &shares.answers, &shares.body_bytes].map(Share::taken);
        assert_eq!(taken, [0, 1, 0]);
        drop(permit);
        assert_eq!(shares.answers.taken(), 0);
    }

    #[test]
    fn what_one_client_holds_is_left_to_another() {
        let (shares, [greedy, good]) = accounts();
        let admitted = || {
            let mut permit = greedy.request();
            permit.admit().then_some(permit)
        };
        let held: Vec<_> = std::iter::from_fn(admitted).collect();
        assert_eq!(held.len(), 5);
        assert!(good.request().admit());
        let open: Vec<_> = std::iter::from_fn(|| greedy.connect()).collect();
        assert_eq!(open.len(), 5);
        assert!(good.connect().is_some());
        let mut body = greedy.request();
        assert!(body.begin_body(400_000) && !body.read(400_000));
        assert!(good.request().begin_body(200_000));
        drop((held, open, body));
        assert_eq!(shares.requests.taken() + shares.connections.taken(), 0);
        assert_eq!(shares.body_bytes.taken(), 0);
    }
}
