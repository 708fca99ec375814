use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use super::{Operation, Request};

/// Metrics of an operation that is too frequent to look them up by their labels each time.
#[derive(Debug, Clone)]
pub(super) struct HotMetrics {
    operation: &'static str,
    answered: Counter,
    seconds: Histogram,
    /// Number of data keys in answers.
    pub(super) keys: Counter,
}

impl HotMetrics {
    /// Takes its metrics out of their families.
    pub(super) fn from_families(
        operation: &'static str,
        requests: &Family<Request, Counter>,
        seconds: &Family<Operation, Histogram, fn() -> Histogram>,
        keys: &Family<Operation, Counter>,
    ) -> Self {
        let code = "ok";
        Self {
            operation,
            answered: requests.get_or_create_owned(&Request { operation, code }),
            seconds: seconds.get_or_create_owned(&Operation { operation }),
            keys: keys.get_or_create_owned(&Operation { operation }),
        }
    }

    /// Whether these are the metrics of this operation.
    pub(super) fn is(&self, operation: &str) -> bool {
        self.operation == operation
    }

    /// A request was answered well.
    pub(super) fn answered(&self, took: Duration) {
        self.answered.inc();
        self.seconds.observe(took.as_secs_f64());
    }
}
