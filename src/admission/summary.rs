use std::sync::Arc;
use std::time::Duration;

use lethe_core::audit::{Event, Record};
use lethe_core::ports::AuditSink;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Admission;
use crate::node::NodeState;
use crate::observability::metrics::Metrics;

/// Time between two records of counted refusals.
const INTERVAL: Duration = Duration::from_secs(10);
/// Stands for all clients without a grant, in place of a client's id.
const STRANGERS: &str = "strangers";

/// Writes audit records of how many refusals were only counted.
pub struct RefusalSummary {
    /// Counts the refusals.
    pub admission: Arc<Admission>,
    /// The node, for the time of the record.
    pub node: Arc<NodeState>,
    /// The audit log, which takes the record.
    pub audit: Arc<dyn AuditSink>,
    /// Metrics: how many refusals are on record as a number only.
    pub metrics: Metrics,
}

impl RefusalSummary {
    /// Runs until the stop. The stop does not interrupt a record, because its counts would be lost.
    pub async fn run(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(sleep(INTERVAL)).await.is_some() {
            self.record().await;
        }
    }

    /// Records the refusals since the last call. If that fails, they are counted again for the next
    /// one.
    pub async fn record(&self) {
        for (account, count) in self.admission.unrecorded() {
            let refused = u32::try_from(count).unwrap_or(u32::MAX);
            let client = account.client().map_or(STRANGERS, |client| client.as_str());
            let record = Record::new(&Event {
                time: self.node.now(),
                request: "refusals",
                client,
                operation: "refusals",
                keyspace: None,
                outcome: "not_recorded",
                keys: &[],
                refused,
                requests: &[],
                reason: None,
            });
            let recorded = match self.audit.append(record).await {
                Ok(()) => u64::from(refused),
                // A request for a key reports this error.
                Err(_) => 0,
            };
            self.metrics.unrecorded_refusals.inc_by(recorded);
            account.count_unrecorded(count - recorded);
        }
    }
}
