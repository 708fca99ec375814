use std::collections::HashSet;
use std::sync::Arc;

use lethe_core::claim::Lease;
use lethe_core::clock::{Doubt, SteadyClock};
use lethe_core::identity::DeploymentId;
use lethe_core::ports::{Clock, Hsm, HsmError, VerificationKey};
use lethe_core::succession::PublishedKey;
use lethe_core::time::Timestamp;
use lethe_core::tree::TreeId;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::clock::{ClockMark, SystemClock};
use super::key_state::KeyState;
use super::key_uses::KeyUses;
use super::status::{Condition, Seen, ThisNode};

/// The state of a node, whether it is the leader or not: the keys in memory, the time, and what works and what
/// does not.
pub struct NodeState {
    /// The deployment that the keys belong to.
    pub deployment: DeploymentId,
    /// The keys in memory.
    pub key_state: Arc<KeyState>,
    /// The service's time, which does not go back.
    pub clock: Arc<SteadyClock<SystemClock>>,
    /// The mark of the time in the store.
    pub mark: Arc<ClockMark>,
    /// Until when keys are served without another check of the claim in the HSM.
    pub lease: Arc<Lease>,
    /// How often and when each client used each key version.
    pub key_uses: KeyUses,
    /// What works and what does not.
    pub condition: Mutex<Condition>,
    /// The public keys of the signing keys, in order of succession: also those of an earlier HSM.
    pub verification_keys: watch::Sender<Arc<[PublishedKey]>>,
    /// The name of this node, and since when it serves.
    pub this: ThisNode,
}

impl NodeState {
    /// Whether this node may still serve keys.
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

    /// The service's time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The time since boot. It never jumps, so what was destroyed is refused for long enough whatever the wall
    /// clock does.
    #[must_use]
    pub fn boot_time(&self) -> Timestamp {
        let since = self.clock.since_boot().as_millis();
        Timestamp::from_millis(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// Checks whether the wall clock has jumped. Until an operator confirms it, nothing is destroyed, dropped,
    /// deleted or rotated because of the time. Accepted erasures are still done. It is called just before each
    /// such step.
    pub fn check_clock(&self) -> Option<Doubt> {
        // Locked before the check, so that an older result does not overwrite a newer one.
        let mut condition = self.condition.lock();
        let doubt = self.clock.watch();
        let said = std::mem::replace(&mut condition.doubt, doubt);
        drop(condition);
        if let Some(doubt) = doubt
            && said != Some(doubt)
        {
            let reading = self.clock.reading();
            tracing::error!(
                jump = doubt.name(),
                time_ms = reading.now.as_millis(),
                wall_clock_ms = reading.wall.as_millis(),
                "the wall clock is doubted: nothing is destroyed by the time until `lethe clock confirm`"
            );
        }
        doubt
    }

    /// Wipes the expired bucket keys from memory. This comes before a bucket is destroyed in the HSM.
    pub fn drop_expired(&self, now: Timestamp) {
        self.key_state.drop_buckets(|expiry| expiry.has_passed(now));
    }

    /// Asks the HSM for its status, and updates the condition.
    ///
    /// # Errors
    /// Of the HSM.
    pub async fn check_hsm(&self, hsm: &dyn Hsm) -> Result<(), HsmError> {
        let at = self.now();
        let looked = hsm.status(self.deployment).await;
        self.update_condition(|condition| match &looked {
            Ok(status) => {
                let status = status.clone();
                condition.seen = Some(Seen { at, status });
                condition.hsm_check = None;
            }
            Err(error) => condition.hsm_check = Some(error.to_string()),
        });
        looked.map(drop)
    }

    /// Updates the condition. It is logged when the HSM or the store begins to fail, or works again.
    pub fn update_condition(&self, change: impl FnOnce(&mut Condition)) {
        let mut condition = self.condition.lock();
        let said = |it: &Condition| (it.hsm().map(str::to_owned), it.store.clone());
        let before = said(&condition);
        change(&mut condition);
        if before != said(&condition) {
            tracing::warn!(
                hsm = condition.hsm().unwrap_or("ok"),
                store = condition.store.as_deref().unwrap_or("ok"),
                "condition changed"
            );
        }
    }

    /// Writes the counts of key uses to the store. If that fails, the next call writes them.
    pub async fn flush_key_uses(&self) {
        let keyring = self.key_state.keyring();
        let trees = keyring.keyspaces.values().flat_map(|it| &it.versions);
        let trees: HashSet<TreeId> = trees.map(|it| it.tree).collect();
        drop(keyring);
        if let Err(error) = self.key_uses.flush(|tree| trees.contains(&tree)).await {
            tracing::debug!(%error, "the last use of key versions was not written down");
        }
    }

    /// The doubt about the clock, as a text; none if there is no doubt, or an operator has confirmed the clock.
    #[must_use]
    pub fn clock_warning(&self) -> Option<String> {
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
