//! What an identity may take before any work is done for it: connections, handshakes, requests and
//! bytes of bodies under way, answers that it does not read, and records of its refusals.
//!
//! Before its handshake is done an identity is the address of its peer ([`Pool`]). After it, a client
//! with a grant is an [`Account`] of its own; all others are strangers, who share one small account.
//! An identity that has nothing of a resource gets some of it as long as any is free: nobody holds more than is
//! left to all others ([`Share`]).

mod account;
mod connection;
/// How many files the process may open.
pub mod open_files;
mod pool;
/// Which refusals go on record.
pub mod records;
mod share;
mod summary;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

pub use account::{Account, ConnectionPermit, RequestPermit};
pub use connection::{ActiveRequest, Connection};
pub use pool::{Place, Pool};
pub use summary::RefusalSummary;

use crate::config::LimitsSection;
use crate::identity::{Access, SpiffeId};
use crate::observability::metrics::Metrics;
use account::Shares;

/// HTTP/2 streams that a stranger may have open on one connection.
pub const STRANGER_STREAMS: usize = 8;
/// HTTP/2 streams that a client with a grant may have open on one connection.
pub const CLIENT_STREAMS: usize = 256;
/// Answers a second that all strangers get together; more are delayed.
const STRANGER_ANSWERS: u32 = 200;

/// Connections, requests, bytes and answers of all identities, as the module says.
pub struct Admission {
    handshakes: Arc<Pool>,
    strangers: Arc<Pool>,
    shares: Arc<Shares>,
    stranger: Arc<Account>,
    clients: Mutex<HashMap<SpiffeId, Arc<Account>>>,
    limits: LimitsSection,
    metrics: Metrics,
}

/// What a connection occupies while it is open.
#[derive(Debug)]
pub enum Seat {
    /// A place in the pool of handshakes, until the client is known.
    Handshake(Place),
    /// A place in the pool of clients without a grant.
    Stranger(Place),
    /// A connection of a client with a grant, counted in its account.
    Client(ConnectionPermit),
}

impl Admission {
    /// Limits as in the configuration.
    #[must_use]
    pub fn new(max_connections: usize, limits: &LimitsSection, metrics: Metrics) -> Self {
        let shares = Shares::new(
            max_connections,
            limits.requests,
            limits.body_bytes,
            &metrics,
        );
        // Bounded by their connections and the streams of each.
        let all = limits.strangers * STRANGER_STREAMS * 2;
        let stranger_bytes = limits.strangers << 20;
        let strangers = Shares::new(limits.strangers, all, stranger_bytes, &metrics);
        let stranger = Account::new(None, strangers, limits.refusals)
            .with_answers_per_second(STRANGER_ANSWERS);
        let pool = |most, budget| Pool::new(most, metrics.budget_exceeded(budget));
        Self {
            handshakes: pool(limits.handshakes, "handshakes"),
            strangers: pool(limits.strangers, "strangers"),
            shares,
            stranger: Arc::new(stranger),
            clients: Mutex::default(),
            limits: limits.clone(),
            metrics,
        }
    }

    /// A place for a handshake with this address. None while the address, or all together, have too
    /// many handshakes that do not wait for their peer.
    #[must_use]
    pub fn handshake(&self, address: IpAddr, connection: &Arc<Connection>) -> Option<Place> {
        self.handshakes.enter(address, connection)
    }

    /// The account of a client, and a seat for its connection; none while it has too many. A client
    /// without a grant is a stranger.
    #[must_use]
    pub fn connect(
        &self,
        client: Option<&SpiffeId>,
        access: &Access,
        address: IpAddr,
        connection: &Arc<Connection>,
    ) -> Option<(Arc<Account>, Seat)> {
        let Some(client) = client.filter(|client| access.grant(client).is_some()) else {
            let place = self.strangers.enter(address, connection)?;
            return Some((Arc::clone(&self.stranger), Seat::Stranger(place)));
        };
        let account = self.account(client);
        let permit = account.connect()?;
        Some((account, Seat::Client(permit)))
    }

    fn account(&self, client: &SpiffeId) -> Arc<Account> {
        let mut clients = self.clients.lock();
        if let Some(account) = clients.get(client) {
            return Arc::clone(account);
        }
        let shares = Arc::clone(&self.shares);
        let account = Account::new(Some(client.clone()), shares, self.limits.refusals);
        let account = Arc::new(account);
        clients.insert(client.clone(), Arc::clone(&account));
        account
    }

    /// Requests of clients under way.
    #[must_use]
    pub fn requests_under_way(&self) -> usize {
        self.shares.requests.taken()
    }

    /// Refusals that were only counted since the last call, for each client; the client is none for
    /// strangers.
    #[must_use]
    pub fn unrecorded(&self) -> Vec<(Arc<Account>, u64)> {
        let clients = self.clients.lock();
        let accounts = clients.values().chain([&self.stranger]);
        let counted = accounts.map(|account| (Arc::clone(account), account.take_unrecorded()));
        counted.filter(|(_, count)| *count > 0).collect()
    }

    /// Updates the metrics of budgets.
    pub fn show(&self) {
        self.metrics
            .requests_under_way
            .set(self.requests_under_way() as i64);
        let shares = [&self.shares.connections, &self.shares.requests];
        let shares = shares
            .into_iter()
            .chain([&self.shares.answers, &self.shares.body_bytes]);
        let shares = shares.map(|share| (share.name(), share.taken(), share.most()));
        let pools = [
            ("handshakes", &self.handshakes),
            ("strangers", &self.strangers),
        ];
        let pools = pools.map(|(name, pool)| (name, pool.taken(), pool.most()));
        for (budget, taken, most) in shares.chain(pools) {
            self.metrics.budget(budget, taken, most);
        }
    }

    /// Drops accounts that hold and count nothing. It is called from time to time.
    pub fn tidy(&self) {
        self.show();
        let mut clients = self.clients.lock();
        clients.retain(|_, account| Arc::strong_count(account) > 1 || !account.is_fresh());
    }
}
