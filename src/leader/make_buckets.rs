use std::collections::BTreeSet;
use std::time::Duration;

use lethe_core::batch::BatchError;
use lethe_core::buckets::{Made, required};
use lethe_core::time::Expiry;

use super::keeper::Keeper;

/// The time from a failure to the next try.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

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

    /// Makes buckets. After a failure it waits before the next try: a key that was made without a row stays in
    /// the HSM until the expiry in its label.
    pub(super) async fn make(&mut self, wanted: &BTreeSet<Expiry>) -> Result<(), BatchError> {
        let Made { keys, failed } = self.buckets.make(&self.ports, wanted).await;
        self.handles.node.key_state.add_buckets(keys);
        match failed {
            None => Ok(()),
            Some(error) => {
                self.due.buckets_after = self.ports.clock.since_boot() + RETRY_INTERVAL;
                Err(error)
            }
        }
    }
}
