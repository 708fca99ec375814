use std::sync::Arc;

use lethe_core::batch::Halt;
use lethe_core::keyring::LiveKeyspace;
use lethe_core::keyspace::{KeyVersion, KeyspaceName, MAX_LIVE_VERSIONS};
use lethe_core::refusals::Target;
use lethe_core::time::Timestamp;
use lethe_core::tree::TreeId;

use super::handle::KeeperError;
use super::keeper::Keeper;
use crate::erasure::ErasureRequest;
use crate::permissions::Permission;

impl Keeper {
    /// Makes a new version of each keyspace whose newest version is old or has many shreds, and drops versions
    /// whose last bucket has expired. What failed is tried again at the next tick.
    pub(super) async fn rotate_due(&mut self) -> Result<(), Halt> {
        let now = self.ports.clock.now();
        let mut due: Vec<KeyspaceName> = Vec::new();
        // The keyring must be released: a batch waits until no call uses it any more.
        let keyring = self.handles.node.key_state.keyring();
        let keyspaces: Vec<Arc<LiveKeyspace>> = keyring.keyspaces.values().cloned().collect();
        drop(keyring);
        let clock_is_sound = self.handles.node.check_clock().is_none();
        for keyspace in &keyspaces {
            if clock_is_sound {
                for version in expired_versions(keyspace, now) {
                    self.drop_version(keyspace, version);
                }
            }
            if self.is_due(keyspace, now, clock_is_sound) {
                due.push(keyspace.name.clone());
            }
        }
        drop(keyspaces);
        for name in due {
            self.rotate_automatically(&name).await?;
        }
        Ok(())
    }

    fn is_due(&self, keyspace: &LiveKeyspace, now: Timestamp, clock_is_sound: bool) -> bool {
        let Some(newest) = keyspace.versions.last() else {
            return false;
        };
        let age = keyspace.policy.rotation().as_millis();
        let old = clock_is_sound && now >= newest.created_at.saturating_add(age)
            || newest.root.forgotten() >= self.limits.rotate_after_shreds;
        // While there are too many versions, an old one has to be dropped first.
        let refusals = &self.handles.node.key_state.refusals;
        old && keyspace.versions.len() < MAX_LIVE_VERSIONS
            && refusals.get(Target::Keyspace(keyspace.id)).is_none()
    }

    async fn rotate_automatically(&mut self, name: &KeyspaceName) -> Result<(), Halt> {
        match self.rotate(name).await {
            Ok(()) => tracing::info!(keyspace = %name, "a new key version"),
            Err(KeeperError::Batch(error)) => return self.record_result(Err(error)),
            Err(error) => tracing::warn!(keyspace = %name, %error, "no new key version"),
        }
        Ok(())
    }

    /// Drops an expired version as an erasure like any other, with a receipt.
    fn drop_version(&self, keyspace: &LiveKeyspace, version: KeyVersion) {
        let tree = TreeId {
            keyspace: keyspace.id,
            version,
        };
        let refusals = &self.handles.node.key_state.refusals;
        let is_refused = refusals.get(Target::Tree(tree)).is_some()
            || refusals.get(Target::Keyspace(keyspace.id)).is_some();
        if is_refused {
            return;
        }
        let (acceptor, name) = (self.handles.acceptor.clone(), keyspace.name.clone());
        tokio::spawn(async move {
            let requests = vec![ErasureRequest::Drop(version)];
            let permission = Permission::expired_version(tree);
            let accepted = acceptor.accept_permitted(name.clone(), requests, permission);
            let accepted = accepted.await;
            if accepted.is_ok_and(|answers| answers.iter().all(Result::is_ok)) {
                let version = version.number();
                tracing::info!(keyspace = %name, version, "a key version goes with its last bucket");
            } else {
                tracing::warn!(keyspace = %name, "an old key version stays for now");
            }
        });
    }
}

/// The old versions whose last key has expired.
fn expired_versions(keyspace: &LiveKeyspace, now: Timestamp) -> Vec<KeyVersion> {
    let pairs = keyspace.versions.windows(2);
    pairs
        .filter(|pair| now >= keyspace.last_expiry(pair[1].created_at))
        .map(|pair| pair[0].tree.version)
        .collect()
}
