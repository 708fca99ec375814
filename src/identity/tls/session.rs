use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lethe_core::ports::Clock;
use lethe_core::time::Timestamp;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error};
use tokio::task::JoinHandle;

use super::{Clients, Peer};
use crate::identity::{Gate, Rules, SpiffeId};
use crate::node::clock::HandshakeClock;

/// Timers stand still while the machine sleeps, so the clock is looked at from time to time.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Why a request is nobody's.
#[derive(Debug, thiserror::Error)]
pub enum Nobody {
    /// The connection is being cut off; this is for its last request.
    #[error("the client certificate is not valid any more")]
    NotTaken(#[from] Error),
    /// A certificate without exactly one SPIFFE id.
    #[error("the client certificate has no SPIFFE id")]
    NoId,
}

/// Who an open connection belongs to, and until when that was checked.
#[derive(Debug)]
pub struct Session {
    peer: Peer,
    /// As the client showed it: its own certificate first.
    chain: Vec<CertificateDer<'static>>,
    /// The latest trust that the chain is taken under: before that one is in force, when
    /// [`Self::decide`] looked ahead.
    trust: AtomicU64,
    /// The trust under which it is not taken any more, and why.
    refused: Mutex<Option<(u64, Error)>>,
    /// When the next of its certificates ends, in milliseconds.
    ends: AtomicU64,
}

impl Session {
    /// Of a chain that a handshake has just verified under a trust; none without a certificate.
    #[must_use]
    pub fn new(chain: Vec<CertificateDer<'static>>, trust: u64, now: Timestamp) -> Option<Self> {
        let session = Self {
            peer: Peer::of(chain.first()?),
            chain,
            trust: AtomicU64::new(trust),
            refused: Mutex::default(),
            ends: AtomicU64::new(0),
        };
        session.ends.store(session.next_end(now), Ordering::Relaxed);
        Some(session)
    }

    /// SHA-256 of the public key in the client's certificate; who that is, [`Self::client`] says.
    #[must_use]
    pub const fn key(&self) -> [u8; 32] {
        self.peer.key
    }

    /// The id in the certificate, which need not be taken any more: for what people read.
    pub(super) const fn shown_id(&self) -> Option<&SpiffeId> {
        self.peer.spiffe_id.as_ref()
    }

    /// Who asks, if that client would still get in; there is no other way to the id.
    ///
    /// # Errors
    /// [`Nobody`].
    pub fn client(&self, rules: &Rules, now: Timestamp) -> Result<&SpiffeId, Nobody> {
        self.check(rules, now)?;
        self.peer.spiffe_id.as_ref().ok_or(Nobody::NoId)
    }

    /// Whether the client would still get in. Two loads and two comparisons, unless what it was
    /// checked under has changed or one of its certificates has ended.
    fn check(&self, rules: &Rules, now: Timestamp) -> Result<(), Error> {
        if let Some(decided) = self.decided(rules.trust(), now) {
            return decided;
        }
        let verified = rules.tls().clients.verify(&self.chain, now);
        self.decide(rules.trust(), verified, now)
    }

    /// What is known without looking at the chain.
    pub(super) fn decided(&self, trust: u64, now: Timestamp) -> Option<Result<(), Error>> {
        if now >= self.peer.not_after {
            return Some(Err(CertificateError::Expired.into()));
        }
        let taken = self.trust.load(Ordering::Relaxed) >= trust;
        if taken && now.as_millis() < self.ends.load(Ordering::Relaxed) {
            return Some(Ok(()));
        }
        match &*self.refused.lock() {
            Some((under, reason)) if *under == trust => Some(Err(reason.clone())),
            _ => None,
        }
    }

    /// Keeps what became of the chain under a trust.
    fn decide(&self, trust: u64, verified: Result<(), Error>, now: Timestamp) -> Result<(), Error> {
        match &verified {
            Ok(()) => {
                self.ends.store(self.next_end(now), Ordering::Relaxed);
                self.trust.fetch_max(trust, Ordering::Relaxed);
            }
            Err(reason) => *self.refused.lock() = Some((trust, reason.clone())),
        }
        verified
    }

    /// Decides for many connections at once, each different chain once, before a trust is in force:
    /// else every one of them would do so at the same moment, where requests are answered.
    pub(crate) fn decide_ahead(
        sessions: &[Arc<Self>],
        clients: &Clients,
        trust: u64,
        now: Timestamp,
    ) {
        let mut known = HashMap::new();
        for session in sessions {
            let verify = || clients.verify(&session.chain, now);
            let verified = known.entry(session.chain.as_slice()).or_insert_with(verify);
            // Whoever is refused hears it when the trust is in force.
            let _ = session.decide(trust, verified.clone(), now);
        }
    }

    /// A task that ends once the client would not get in any more. One of its own: the connection's
    /// would look at its timers at every step of every request.
    #[must_use]
    pub fn watch(self: Arc<Self>, gate: &Arc<Gate>) -> JoinHandle<()> {
        let gate = Arc::clone(gate);
        gate.add(&self);
        tokio::spawn(async move {
            let reason = self.over(&gate, &HandshakeClock).await;
            let client = self.peer.spiffe_id.as_ref().map(tracing::field::display);
            tracing::info!(client, %reason, "cut off: this client is not taken any more");
        })
    }

    async fn over(&self, gate: &Gate, clock: &impl Clock) -> Error {
        let mut changes = gate.trust_changes();
        loop {
            let now = clock.now();
            if let Err(reason) = self.check(&gate.rules(), now) {
                return reason;
            }
            let left = self.ends.load(Ordering::Relaxed);
            let left = Duration::from_millis(left.saturating_sub(now.as_millis()));
            tokio::select! {
                // The sender lives as long as the gate.
                _ = changes.changed() => {}
                () = tokio::time::sleep(left.min(LONGEST_WAIT)) => {}
            }
        }
    }

    /// A certificate is valid through its last second; the client's own counts to the begin of it.
    fn next_end(&self, now: Timestamp) -> u64 {
        let others = self.chain.iter().skip(1).map(|certificate| {
            let last_second = Peer::of(certificate).not_after.as_millis();
            last_second.saturating_add(1_000)
        });
        let ends = others.filter(|end| *end > now.as_millis());
        ends.fold(self.peer.not_after.as_millis(), u64::min)
    }
}
