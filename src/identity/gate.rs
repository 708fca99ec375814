use std::sync::{Arc, Weak};

use arc_swap::{ArcSwap, Guard};
use lethe_core::ports::Clock as _;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::Access;
use crate::identity::tls::{Session, Tls};
use crate::node::clock::HandshakeClock;

/// Who gets in and what they may do, as one reading of the configuration says it.
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

    /// Certificates.
    #[must_use]
    pub const fn tls(&self) -> &Tls {
        &self.tls
    }

    /// Counts up when a certificate that was taken may not be taken any more.
    #[must_use]
    pub const fn trust(&self) -> u64 {
        self.trust
    }
}

/// The rules now in force, replaced whole while requests go on. Every request looks here anew, so a
/// change counts from the next one on.
#[derive(Debug)]
pub struct Gate {
    rules: ArcSwap<Rules>,
    trust: watch::Sender<u64>,
    /// Open connections; those that are closed are dropped when it would grow.
    sessions: Mutex<Vec<Weak<Session>>>,
}

impl Gate {
    /// With the rules of the start.
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

    /// Hears of every change of trust.
    pub fn trust_changes(&self) -> watch::Receiver<u64> {
        self.trust.subscribe()
    }

    /// Has an open connection decided on ahead of a change of trust.
    pub fn add(&self, session: &Arc<Session>) {
        let mut sessions = self.sessions.lock();
        if sessions.len() == sessions.capacity() {
            sessions.retain(|session| session.strong_count() > 0);
        }
        sessions.push(Arc::downgrade(session));
    }

    /// Puts other rules in force. Open connections are checked again when other clients are taken
    /// than before. One caller at a time.
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

    /// Has open connections checked again: a revocation list has ended. One caller at a time.
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
        // After the rules: whoever hears of it must find them.
        self.trust.send_if_modified(|known| {
            let changed = *known != trust;
            *known = trust;
            changed
        });
    }
}
