use std::collections::BTreeSet;
use std::time::Duration;

use lethe_core::batch::BatchError;
use lethe_core::buckets::{Made, required};
use lethe_core::time::Expiry;

use super::keeper::Keeper;

/// Between two tries to make buckets that failed.
const BETWEEN_TRIES: Duration = Duration::from_secs(5);

impl Keeper {
    /// Makes the buckets that the policies of all keyspaces need now.
    pub(super) async fn make_buckets(&mut self) -> Result<(), BatchError> {
        let now = self.ports.clock.now();
        let keyring = self.handles.node.key_state.keyring();
        let policies = keyring.keyspaces.values().map(|keyspace| keyspace.policy);
        let wanted: BTreeSet<_> = policies.flat_map(|policy| required(&policy, now)).collect();
        drop(keyring);
        if self.ports.clock.since_boot() < self.due.buckets_after {
            return Ok(());
        }
        self.make(&wanted).await
    }

    /// Makes buckets; what failed is not tried again at once: a key that was made in vain stays in
    /// the HSM until the expiry that its label says.
    pub(super) async fn make(&mut self, wanted: &BTreeSet<Expiry>) -> Result<(), BatchError> {
        let Made { keys, failed } = self.buckets.make(&self.ports, wanted).await;
        self.handles.node.key_state.add_buckets(keys);
        match failed {
            None => Ok(()),
            Some(error) => {
                self.due.buckets_after = self.ports.clock.since_boot() + BETWEEN_TRIES;
                Err(error)
            }
        }
    }
}
