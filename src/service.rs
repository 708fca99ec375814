//! The running service as requests see it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use lethe_core::claim::Lease;
use lethe_core::clock::{Doubt, SteadyClock};
use lethe_core::identity::DeploymentId;
use lethe_core::ports::{AuditSink, Clock, Store, VerificationKey};
use lethe_core::succession::PublishedKey;
use lethe_core::time::Timestamp;
use lethe_core::tree::TreeId;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::admission::Admission;
use crate::approvals::Approvals;
use crate::erasure::{AcceptorHandle, PendingErasures};
use crate::identity::Gate;
use crate::identity::tls::Handshakes;
use crate::leader::KeeperHandle;
use crate::leader::hsm_moves::HsmMoves;
use crate::limits::Limits;
use crate::node::clock::{ClockMark, SystemClock};
use crate::node::entropy::SystemEntropy;
use crate::node::key_state::KeyState;
use crate::node::key_uses::KeyUses;
use crate::node::status::{Condition, ThisNode};
use crate::observability::metrics::Metrics;
use crate::observability::telemetry::Telemetry;

/// What every request may use. The hot path takes no lock here and never waits for store or HSM.
pub struct Service {
    /// Whose keys these are.
    pub deployment: DeploymentId,
    /// All that opens now.
    pub key_state: Arc<KeyState>,
    /// Steady time.
    pub clock: Arc<SteadyClock<SystemClock>>,
    /// What of it is written down.
    pub mark: Arc<ClockMark>,
    /// Randomness.
    pub entropy: SystemEntropy,
    /// Where records go before a key leaves.
    pub audit: Arc<dyn AuditSink>,
    /// Who gets in and may do what; reloaded while requests go on.
    pub gate: Arc<Gate>,
    /// Where clients show their certificates.
    pub handshakes: Handshakes,
    /// What Prometheus reads.
    pub metrics: Metrics,
    /// Where changes are asked for.
    pub keeper: KeeperHandle,
    /// Until when keys are served without another look at the HSM's claim.
    pub lease: Arc<Lease>,
    /// Where requests to forget are accepted.
    pub acceptor: AcceptorHandle,
    /// What waits for a second operator.
    pub approvals: Arc<Approvals>,
    /// Who used which key version when.
    pub key_uses: KeyUses,
    /// What became of them.
    pub pending_erasures: Arc<PendingErasures>,
    /// What outlives the process.
    pub store: Arc<dyn Store>,
    /// What the background work says of itself.
    pub condition: Mutex<Condition>,
    /// The public keys of what the HSM signs, and signed before it moved; each behind the one that it
    /// took over from.
    pub verification_keys: watch::Sender<Arc<[PublishedKey]>>,
    /// The HSMs of the configuration.
    pub hsm_moves: Arc<HsmMoves>,
    /// How many keys a client may take.
    pub limits: Limits,
    /// What anybody may take before work is done for him.
    pub admission: Admission,
    /// Objects that the HSM may hold.
    pub max_objects: u64,
    /// Who serves.
    pub node: ThisNode,
    /// For a whole request.
    pub request_timeout: Duration,
    /// Traces, where a collector is configured.
    pub telemetry: Option<Telemetry>,
}

impl Service {
    /// Whether this process may still take itself for the one that serves.
    #[must_use]
    pub fn has_lease(&self) -> bool {
        self.lease.holds(SystemClock.since_boot())
    }

    /// The keys that verify what this deployment has signed.
    #[must_use]
    pub fn verifiers(&self) -> Vec<VerificationKey> {
        let published = self.verification_keys.borrow();
        published.iter().map(|it| it.key.clone()).collect()
    }

    /// Steady time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Writes down who used which key version; what fails is tried again.
    pub async fn flush_key_uses(&self) {
        let keyring = self.key_state.keyring();
        let trees = keyring.keyspaces.values().flat_map(|it| &it.versions);
        let trees: HashSet<TreeId> = trees.map(|it| it.tree).collect();
        drop(keyring);
        if let Err(error) = self.key_uses.flush(|tree| trees.contains(&tree)).await {
            tracing::debug!(%error, "the last use of key versions was not written down");
        }
    }

    /// What is wrong with the clock, until an operator has confirmed it.
    #[must_use]
    pub fn clock_trouble(&self) -> Option<String> {
        let doubt = self.clock.doubt().or(self.clock.reading().doubt)?;
        let why = match doubt {
            Doubt::Rebooted => "nobody can tell how long the service was down".to_owned(),
            jump => format!("the wall clock jumped ({})", jump.name()),
        };
        Some(format!(
            "{why}: nothing is destroyed by the time until `lethe clock confirm`"
        ))
    }
}
