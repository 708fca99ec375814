use std::net::IpAddr;
use std::sync::{Arc, Weak};

use arc_swap::{ArcSwap, Guard};
use hyper::header::HeaderValue;
use lethe_core::ports::Clock as _;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::state::ApiState;
use super::time_limit::TimeLimit;
use crate::admission::{self, Account, Admission, Seat};
use crate::identity::tls::Session;
use crate::identity::{Access, SpiffeId};
use crate::node::clock::HandshakeClock;

/// A connection as its requests see it: who its client is, and what it occupies.
pub(super) struct ConnectionContext {
    /// The client's certificate and identity.
    pub(super) session: Arc<Session>,
    /// What the client may occupy.
    account: ArcSwap<Account>,
    seat: Weak<Mutex<Seat>>,
    address: IpAddr,
    /// Counters of its requests and bytes.
    pub(super) connection: Arc<admission::Connection>,
    /// The timeout of its requests.
    pub(super) time_limit: TimeLimit,
    /// Notified when the connection has to end after its requests: its client has got or lost its grant, and
    /// there is no seat for it.
    pub(super) outdated: Notify,
    /// Value of `Keep-Alive`, if that is sent.
    pub(super) keep_alive: Option<HeaderValue>,
}

impl ConnectionContext {
    /// Puts the client into the place of whoever had the seat. `None` while there is no seat for it.
    pub(super) fn seat(
        service: &ApiState,
        session: Arc<Session>,
        connection: Arc<admission::Connection>,
        address: IpAddr,
        seat: Weak<Mutex<Seat>>,
    ) -> Option<Self> {
        let rules = service.gate.rules();
        let client = session.client(&rules, HandshakeClock.now()).ok();
        let seated = service
            .admission
            .connect(client, rules.access(), address, &connection);
        let (account, taken) = seated?;
        *seat.upgrade()?.lock() = taken;
        Some(Self {
            session,
            account: ArcSwap::new(account),
            seat,
            address,
            connection,
            time_limit: TimeLimit::default(),
            outdated: Notify::new(),
            keep_alive: None,
        })
    }

    /// What the client may occupy.
    pub(super) fn account(&self) -> Guard<Arc<Account>> {
        self.account.load()
    }

    /// Moves the connection between the strangers and the clients with a grant, after its client has got or
    /// lost its grant.
    pub(super) fn change_account(&self, admission: &Admission, client: &SpiffeId, access: &Access) {
        let connection = &self.connection;
        match admission.connect(Some(client), access, self.address, connection) {
            Some((account, seat)) => {
                if let Some(before) = self.seat.upgrade() {
                    *before.lock() = seat;
                }
                self.account.store(account);
            }
            None => self.outdated.notify_one(),
        }
    }
}
