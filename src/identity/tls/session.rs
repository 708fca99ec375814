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

/// Why a request has no client.
#[derive(Debug, thiserror::Error)]
pub enum Nobody {
    /// The certificate is not accepted any more. The connection is being closed.
    #[error("the client certificate is not valid any more")]
    NotTaken(#[from] Error),
    /// The certificate does not have exactly one SPIFFE id.
    #[error("the client certificate has no SPIFFE id")]
    NoId,
}

/// Who an open connection belongs to, and until when that was checked.
#[derive(Debug)]
pub struct Session {
    peer: Peer,
    /// The certificates that the client showed, its own first.
    chain: Vec<CertificateDer<'static>>,
    /// The latest trust under which the chain is accepted. It may not be in force yet, if
    /// [`Self::decide`] was called.
    trust: AtomicU64,
    /// The trust from which on the chain is refused, and why.
    refused: Mutex<Option<(u64, Error)>>,
    /// When the first certificate of the chain expires, in milliseconds.
    ends: AtomicU64,
}

impl Session {
    /// A session with a chain that a handshake has just verified under a trust; none without a
    /// certificate.
    #[must_use]
    pub fn new(chain: Vec<CertificateDer<'static>>, trust: u64, now: Timestamp) -> Option<Self> {
        let session = Self {
            peer: Peer::from_certificate(chain.first()?),
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

    /// The id in the certificate, for texts only: the certificate may be refused by now.
    pub(super) const fn shown_id(&self) -> Option<&SpiffeId> {
        self.peer.spiffe_id.as_ref()
    }

    /// The client, if its certificate is still accepted. There is no other way to the id.
    ///
    /// # Errors
    /// [`Nobody`].
    pub fn client(&self, rules: &Rules, now: Timestamp) -> Result<&SpiffeId, Nobody> {
        self.check(rules, now)?;
        self.peer.spiffe_id.as_ref().ok_or(Nobody::NoId)
    }

    /// Whether the client's certificate is still accepted. It costs two loads and two comparisons,
    /// unless the trust has changed or a certificate has expired since the last check.
    fn check(&self, rules: &Rules, now: Timestamp) -> Result<(), Error> {
        if let Some(decided) = self.decided(rules.trust(), now) {
            return decided;
        }
        let verified = rules.tls().clients.verify(&self.chain, now);
        self.decide(rules.trust(), verified, now)
    }

    /// The answer if it is known without a check of the chain.
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

    /// Stores the result for the chain under a trust.
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

    /// Checks many connections before a trust is in force, each different chain once. Otherwise all of
    /// them would be checked at the same moment, by the threads that answer requests.
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
            // A connection that is refused is closed when the trust is in force.
            let _ = session.decide(trust, verified.clone(), now);
        }
    }

    /// A task that ends when the client's certificate is not accepted any more. It is a task of its
    /// own, because the connection's task would check the timer at every step of every request.
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

    /// A certificate is valid through its last second. The client's own one counts to the beginning of
    /// it.
    fn next_end(&self, now: Timestamp) -> u64 {
        let others = self.chain.iter().skip(1).map(|certificate| {
            let last_second = Peer::from_certificate(certificate).not_after.as_millis();
            last_second.saturating_add(1_000)
        });
        let ends = others.filter(|end| *end > now.as_millis());
        ends.fold(self.peer.not_after.as_millis(), u64::min)
    }
}
