use std::sync::Arc;
use std::time::Duration;

use lethe_core::audit::{Event, Record};

use crate::service::Service;

/// Between two looks at what was only counted.
const INTERVAL: Duration = Duration::from_secs(10);
/// All clients without a grant, in the place of a client's id.
const STRANGERS: &str = "strangers";

/// Puts on record how many refusals were not recorded one by one, again and again.
pub async fn record_refusals(service: Arc<Service>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        record_unrecorded(&service).await;
    }
}

/// Puts on record how many refusals were not recorded one by one since it was done last. What cannot be
/// recorded is counted on.
pub async fn record_unrecorded(service: &Service) {
    for (account, count) in service.admission.unrecorded() {
        let refused = u32::try_from(count).unwrap_or(u32::MAX);
        let client = account.client().map_or(STRANGERS, |client| client.as_str());
        let record = Record::new(&Event {
            time: service.now(),
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
        let recorded = match service.audit.append(record).await {
            Ok(()) => u64::from(refused),
            // Said by whoever asks for a key.
            Err(_) => 0,
        };
        service.metrics.unrecorded_refusals.inc_by(recorded);
        account.count_unrecorded(count - recorded);
    }
}
