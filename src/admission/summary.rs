use std::sync::Arc;
use std::time::Duration;

use lethe_core::audit::{Event, Record};
use lethe_core::ports::AuditSink;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Admission;
use crate::node::NodeState;
use crate::observability::metrics::Metrics;

/// Between two looks at what was only counted.
const INTERVAL: Duration = Duration::from_secs(10);
/// All clients without a grant, in the place of a client's id.
const STRANGERS: &str = "strangers";

/// Puts on record how many refusals were not recorded one by one.
pub struct RefusalSummary {
    /// Where they are counted.
    pub admission: Arc<Admission>,
    /// The time.
    pub node: Arc<NodeState>,
    /// Where they are put on record.
    pub audit: Arc<dyn AuditSink>,
    /// What Prometheus reads.
    pub metrics: Metrics,
}

impl RefusalSummary {
    /// Again and again until the stop, which interrupts no record: its counts would be lost.
    pub async fn run(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(sleep(INTERVAL)).await.is_some() {
            self.record().await;
        }
    }

    /// Those since it was done last. What cannot be recorded is counted on.
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
                // Said by whoever asks for a key.
                Err(_) => 0,
            };
            self.metrics.unrecorded_refusals.inc_by(recorded);
            account.count_unrecorded(count - recorded);
        }
    }
}
