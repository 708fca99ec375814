use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use super::Access;
use crate::tls::Tls;

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
        self.rules.store(Arc::new(rules));
        // After the rules: whoever hears of it must find them.
        self.trust.send_if_modified(|known| {
            let changed = *known != trust;
            *known = trust;
            changed
        });
    }
}
