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

    /// The time since boot, which never steps: by it what is done is refused for some time more, whatever
    /// the wall clock does.
    #[must_use]
    pub fn boot_time(&self) -> Timestamp {
        let since = self.clock.since_boot().as_millis();
        Timestamp::from_millis(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// Looks whether the wall clock has jumped. Until somebody confirms it nothing is destroyed, dropped,
    /// tidied or rotated because of the time; what is accepted for forgetting goes on. Whoever does such a
    /// thing looks just before.
    pub fn watch_clock(&self) -> Option<Doubt> {
        let doubt = self.clock.watch();
        let said = std::mem::replace(&mut self.condition.lock().doubt, doubt);
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

    /// Wipes the bucket keys that have expired. Whoever destroys a bucket in the HSM does this first.
    pub fn drop_expired(&self, now: Timestamp) {
        self.key_state.drop_buckets(|expiry| expiry.has_passed(now));
    }

    /// Looks whether the HSM answers, and what it says of itself.
    ///
    /// # Errors
    /// Of the HSM; the condition has it then.
    pub async fn look_at_hsm(&self, hsm: &dyn Hsm) -> Result<(), HsmError> {
        let at = self.now();
        let looked = hsm.status(self.deployment).await;
        self.change_condition(|condition| match &looked {
            Ok(status) => {
                let status = status.clone();
                condition.seen = Some(Seen { at, status });
                condition.hsm_look = None;
            }
            Err(error) => condition.hsm_look = Some(error.to_string()),
        });
        looked.map(drop)
    }

    /// Changes what is known of HSM and store. The log has it when one of them fails or works again.
    pub fn change_condition(&self, change: impl FnOnce(&mut Condition)) {
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
