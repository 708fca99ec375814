use std::sync::{Arc, Weak};

use arc_swap::{ArcSwap, Guard};
use lethe_core::ports::Clock as _;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::Access;
use crate::identity::tls::{Session, Tls};
use crate::node::clock::HandshakeClock;

/// Which clients are accepted and what they may do, by one version of the configuration.
#[derive(Debug)]
pub struct Rules {
    access: Access,
    tls: Tls,
    trust: u64,
}

impl Rules {
    /// What clients may do.
    #[must_use]
    pub const fn access(&self) -> &Access {
        &self.access
    }

    /// The TLS settings, with the certificates that are accepted.
    #[must_use]
    pub const fn tls(&self) -> &Tls {
        &self.tls
    }

    /// The number of the trust. It grows when a certificate that was accepted before may be refused.
    #[must_use]
    pub const fn trust(&self) -> u64 {
        self.trust
    }
}

/// The rules in force. They are replaced as a whole while requests go on. Every request reads them
/// again, so a change counts from the next request on.
#[derive(Debug)]
pub struct Gate {
    rules: ArcSwap<Rules>,
    trust: watch::Sender<u64>,
    /// Open connections. Closed ones are removed when the list would grow.
    sessions: Mutex<Vec<Weak<Session>>>,
}

impl Gate {
    /// A gate with the first rules.
    #[must_use]
    pub fn new(access: Access, tls: Tls) -> Self {
        let rules = Rules {
            access,
            tls,
            trust: 0,
        };
        Self {
            rules: ArcSwap::from_pointee(rules),
            trust: watch::Sender::new(0),
            sessions: Mutex::default(),
        }
    }

    /// The rules in force.
    pub fn rules(&self) -> Guard<Arc<Rules>> {
        self.rules.load()
    }

    /// A receiver that is notified of every change of trust.
    pub fn trust_changes(&self) -> watch::Receiver<u64> {
        self.trust.subscribe()
    }

    /// Adds an open connection, so that its certificate is checked before a change of trust is in
    /// force.
    pub fn add(&self, session: &Arc<Session>) {
        let mut sessions = self.sessions.lock();
        if sessions.len() == sessions.capacity() {
            sessions.retain(|session| session.strong_count() > 0);
        }
        sessions.push(Arc::downgrade(session));
    }

    /// Puts other rules in force. If other client certificates are accepted than before, open
    /// connections are checked again. Only one task may call it at a time.
    pub fn replace(&self, access: Access, mut tls: Tls) {
        let before = self.rules.load_full();
        let same = *before.tls.clients == *tls.clients;
        if same {
            tls.clients = Arc::clone(&before.tls.clients);
        }
        self.enter(Rules {
            access,
            tls,
            trust: before.trust + u64::from(!same),
        });
    }

    /// Checks open connections again, because a revocation list has expired. Only one task may call it
    /// at a time.
    pub fn recheck(&self) {
        let before = self.rules.load_full();
        self.enter(Rules {
            access: before.access.clone(),
            tls: before.tls.clone(),
            trust: before.trust + 1,
        });
    }

    fn enter(&self, rules: Rules) {
        let trust = rules.trust;
        if trust != self.rules.load().trust {
            let sessions: Vec<_> = self
                .sessions
                .lock()
                .iter()
                .filter_map(Weak::upgrade)
                .collect();
            Session::decide_ahead(&sessions, &rules.tls.clients, trust, HandshakeClock.now());
        }
        self.rules.store(Arc::new(rules));
        // Receivers are notified after the rules are in force, because they read them.
        self.trust.send_if_modified(|known| {
            let changed = *known != trust;
            *known = trust;
            changed
        });
    }
}
