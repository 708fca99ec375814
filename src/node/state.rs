use std::collections::HashSet;
use std::sync::Arc;

use lethe_core::claim::Lease;
use lethe_core::clock::{Doubt, SteadyClock};
use lethe_core::identity::DeploymentId;
use lethe_core::ports::{Clock, VerificationKey};
use lethe_core::succession::PublishedKey;
use lethe_core::time::Timestamp;
use lethe_core::tree::TreeId;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::clock::{ClockMark, SystemClock};
use super::key_state::KeyState;
use super::key_uses::KeyUses;
use super::status::{Condition, ThisNode};

/// What every node of a deployment knows, whether it leads or not: the keys that it opens, the time,
/// and what it says of itself.
pub struct NodeState {
    /// Whose keys these are.
    pub deployment: DeploymentId,
    /// All that opens now.
    pub key_state: Arc<KeyState>,
    /// Steady time.
    pub clock: Arc<SteadyClock<SystemClock>>,
    /// What of it is written down.
    pub mark: Arc<ClockMark>,
    /// Until when keys are served without another look at the HSM's claim.
    pub lease: Arc<Lease>,
    /// Who used which key version when.
    pub key_uses: KeyUses,
    /// What the background work says of itself.
    pub condition: Mutex<Condition>,
    /// The public keys of what the HSM signs, and signed before it moved; each behind the one that it
    /// took over from.
    pub verification_keys: watch::Sender<Arc<[PublishedKey]>>,
    /// Who serves.
    pub this: ThisNode,
}

impl NodeState {
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
