//! What Prometheus reads.

mod handshakes;
mod hot;
mod hsm;
mod open;
mod parts;
mod preregister;
mod register;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use lethe_core::clock::Reading;
use lethe_core::ports::AuditSink;
use lethe_core::time::Timestamp;

use crate::node::status::Condition;

use handshakes::{Group, Reason};
use hot::HotMetrics;
pub use hsm::MeteredHsm;
use parts::Parts;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    operation: &'static str,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    call: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    result: &'static str,
}

/// No labels: a metric that may be absent is a family with one member.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoLabels {}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApprovalOutcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Budget {
    budget: &'static str,
}

/// All metrics; cloning shares them.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// The metrics of issue and unwrap.
    hot: [HotMetrics; 2],
    requests: Family<Request, Counter>,
    request_seconds: Family<Operation, Histogram, fn() -> Histogram>,
    keys: Family<Operation, Counter>,
    hsm_calls: Family<Call, Counter>,
    hsm_seconds: Family<Operation, Histogram>,
    audit_seconds: Histogram,
    /// Number of live buckets.
    pub live_buckets: Gauge,
    /// 1 when the node serves; a node that starts, or waits as a spare, says 0.
    pub serving: Gauge,
    /// Number of keyspaces.
    pub keyspaces: Gauge,
    /// Seconds until the next bucket expires; negative if its destruction is late.
    pub next_expiry: Gauge,
    /// By how many seconds the oldest destruction of a bucket is late; 0 if none is.
    pub expiry_lag: Gauge,
    /// Destructions in the HSM that failed and are tried again.
    pub failed_destroys: Counter,
    expiry_destroy_seconds: Histogram,
    requests_forgotten: Counter,
    batch_seconds: Histogram,
    page_bytes: Counter,
    open_requests: Gauge,
    oldest_open_request: Gauge,
    approvals: Family<ApprovalOutcome, Counter>,
    /// Number of approvals that wait for a second operator.
    pub waiting_approvals: Gauge,
    /// Keyspaces whose settings let keys, or leases of them, live longer than before.
    pub lengthened_keyspaces: Counter,
    clock_suspect: Gauge,
    clock_lead: Gauge,
    /// Number of requests under way.
    pub requests_under_way: Gauge,
    /// Number of clients above the limit of different conversations.
    pub clients_above_ceiling: Gauge,
    /// How often a client came above that limit.
    pub ceilings_reached: Counter,
    /// Number of open connections.
    pub connections: Gauge,
    handshakes: Family<Group, Counter>,
    failed_handshakes: Family<Reason, Counter>,
    probes: Counter,
    handshake_seconds: Counter<f64, AtomicU64>,
    /// Connections that were closed because their client is not taken any more.
    pub cut_off: Counter,
    budget_used: Family<Budget, Gauge>,
    budget_limit: Family<Budget, Gauge>,
    budget_exceeded: Family<Budget, Counter>,
    /// Refusals that the audit log has only as a number.
    pub unrecorded_refusals: Counter,
    reloads: Family<Outcome, Counter>,
    certificate_left: Gauge,
    /// Spans that a collector took.
    pub spans_exported: Counter,
    /// Spans that were lost.
    pub spans_dropped: Counter,
    parts: Parts,
    /// Seconds until the next revocation list ends; absent if no lists are configured.
    crl_left: Family<NoLabels, Gauge>,
}

/// 50 us to 13 s, doubling.
fn latencies() -> Histogram {
    Histogram::new(exponential_buckets(50e-6, 2.0, 19))
}

impl Metrics {
    /// All metrics, and where they are read.
    #[must_use]
    pub fn new() -> (Self, Exposition) {
        let requests = Family::default();
        let request_seconds = Family::new_with_constructor(latencies as fn() -> Histogram);
        let keys = Family::default();
        let hot = ["issue", "unwrap"].map(|operation| {
            HotMetrics::from_families(operation, &requests, &request_seconds, &keys)
        });
        let metrics = Self {
            hot,
            requests,
            request_seconds,
            keys,
            hsm_calls: Family::default(),
            hsm_seconds: Family::new_with_constructor(latencies),
            audit_seconds: latencies(),
            live_buckets: Gauge::default(),
            serving: Gauge::default(),
            keyspaces: Gauge::default(),
            next_expiry: Gauge::default(),
            expiry_lag: Gauge::default(),
            failed_destroys: Counter::default(),
            expiry_destroy_seconds: latencies(),
            requests_forgotten: Counter::default(),
            batch_seconds: latencies(),
            page_bytes: Counter::default(),
            open_requests: Gauge::default(),
            oldest_open_request: Gauge::default(),
            approvals: Family::default(),
            waiting_approvals: Gauge::default(),
            lengthened_keyspaces: Counter::default(),
            clock_suspect: Gauge::default(),
            clock_lead: Gauge::default(),
            requests_under_way: Gauge::default(),
            clients_above_ceiling: Gauge::default(),
            ceilings_reached: Counter::default(),
            connections: Gauge::default(),
            handshakes: Family::default(),
            failed_handshakes: Family::default(),
            probes: Counter::default(),
            handshake_seconds: Counter::default(),
            cut_off: Counter::default(),
            budget_used: Family::default(),
            budget_limit: Family::default(),
            budget_exceeded: Family::default(),
            unrecorded_refusals: Counter::default(),
            reloads: Family::default(),
            certificate_left: Gauge::default(),
            spans_exported: Counter::default(),
            spans_dropped: Counter::default(),
            crl_left: Family::default(),
            parts: Parts::default(),
        };
        let mut registry = Registry::default();
        metrics.register(registry.sub_registry_with_prefix("lethe"));
        metrics.parts.register_process(&mut registry);
        let turn = Arc::default();
        (metrics, Exposition { registry, turn })
    }

    /// Updates the metrics from the condition that the background work saw.
    pub fn condition(&self, condition: &Condition, max_objects: u64) {
        self.parts.seen(condition, max_objects);
    }

    /// Updates the metrics that are computed only when they are read.
    pub fn measure_process(&self) {
        self.parts.measure_process();
    }

    /// Updates the metrics of the audit log, which are computed only when they are read.
    pub fn measure_audit(&self, audit: &dyn AuditSink) {
        self.parts.measure_audit(audit);
    }

    /// Counts a request that was answered.
    pub fn answered(&self, operation: &'static str, code: &'static str, took: Duration) {
        if code == "ok"
            && let Some(hot) = self.hot(operation)
        {
            hot.answered(took);
            return;
        }
        self.requests
            .get_or_create(&Request { operation, code })
            .inc();
        self.request_seconds
            .get_or_create(&Operation { operation })
            .observe(took.as_secs_f64());
    }

    /// Counts data keys in answers.
    pub fn keys_left(&self, operation: &'static str, count: usize) {
        match self.hot(operation) {
            Some(hot) => hot.keys.inc_by(count as u64),
            None => self
                .keys
                .get_or_create(&Operation { operation })
                .inc_by(count as u64),
        };
    }

    fn hot(&self, operation: &str) -> Option<&HotMetrics> {
        self.hot.iter().find(|it| it.is(operation))
    }

    /// The counter of refusals because this budget was used up.
    pub fn budget_exceeded(&self, budget: &'static str) -> Counter {
        self.budget_exceeded.get_or_create_owned(&Budget { budget })
    }

    /// How much of a budget is in use.
    pub fn budget(&self, budget: &'static str, used: usize, limit: usize) {
        let label = Budget { budget };
        self.budget_used.get_or_create(&label).set(used as i64);
        self.budget_limit.get_or_create(&label).set(limit as i64);
    }

    /// Counts a changed configuration that was read.
    pub fn reloaded(&self, result: &'static str) {
        self.reloads.get_or_create(&Outcome { result }).inc();
    }

    /// Shows when certificates and revocation lists expire.
    pub fn validity(&self, certificate: Timestamp, crl: Option<Timestamp>, now: Timestamp) {
        let left = |end: Timestamp| (end.as_millis() as i64 - now.as_millis() as i64) / 1_000;
        self.certificate_left.set(left(certificate));
        match crl {
            Some(end) => {
                self.crl_left.get_or_create(&NoLabels {}).set(left(end));
            }
            None => self.crl_left.clear(),
        }
    }

    /// Counts the time until a record was durable.
    pub fn recorded(&self, took: Duration) {
        self.audit_seconds.observe(took.as_secs_f64());
    }

    /// Counts a bucket that was destroyed, and how long that took.
    pub fn bucket_destroyed(&self, took: Duration) {
        self.expiry_destroy_seconds.observe(took.as_secs_f64());
    }

    /// Counts a batch of erasures that is done.
    /// `page_bytes` is the number of sealed bytes written since the start.
    pub fn forgotten(&self, requests: usize, took: Duration, page_bytes: u64) {
        self.requests_forgotten.inc_by(requests as u64);
        let before = self.page_bytes.get();
        self.page_bytes.inc_by(page_bytes.saturating_sub(before));
        self.batch_seconds.observe(took.as_secs_f64());
    }

    /// Counts how an approval ended.
    pub fn approval(&self, outcome: &'static str) {
        self.approvals
            .get_or_create(&ApprovalOutcome { outcome })
            .inc();
    }

    /// Shows the state of the clock.
    pub fn clock(&self, reading: &Reading, suspect: bool) {
        self.clock_suspect.set(suspect.into());
        let lead = |later: Timestamp, earlier: Timestamp| {
            (later.as_millis().saturating_sub(earlier.as_millis()) / 1_000) as i64
        };
        let (now, wall) = (reading.now, reading.wall);
        self.clock_lead.set(lead(wall, now) - lead(now, wall));
    }

    /// Shows the erasures that wait.
    pub fn backlog(&self, requests: usize, oldest: Option<Timestamp>, now: Timestamp) {
        self.open_requests.set(requests as i64);
        let age = |oldest: Timestamp| now.as_millis().saturating_sub(oldest.as_millis()) / 1_000;
        let age = oldest.map_or(0, age);
        self.oldest_open_request.set(age as i64);
    }

    fn hsm_called(&self, call: &'static str, result: &'static str, took: Duration) {
        self.hsm_calls.get_or_create(&Call { call, result }).inc();
        self.hsm_seconds
            .get_or_create(&Operation { operation: call })
            .observe(took.as_secs_f64());
    }
}

/// The registry.
#[derive(Debug)]
pub struct Exposition {
    registry: Registry,
    /// Held while the metrics are written out.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Exposition {
    /// [`Self::open_metrics`] or [`Self::text`], one after the other and on a thread that serves no request: who
    /// asks for them in a loop takes no time from the API.
    pub async fn render_in_turn(self: Arc<Self>, open: bool) -> String {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let rendered = tokio::task::spawn_blocking(move || {
            let text = if open {
                self.open_metrics()
            } else {
                self.text()
            };
            drop(turn);
            text
        });
        // It does not panic.
        rendered.await.unwrap_or_default()
    }

    /// The text format of OpenMetrics.
    #[must_use]
    pub fn open_metrics(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// The text format of Prometheus, 0.0.4: a counter's description bears the name of its samples.
    #[must_use]
    pub fn text(&self) -> String {
        let text = self.open_metrics();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let counters: HashSet<&str> = types.filter_map(|it| it.strip_suffix(" counter")).collect();
        let mut plain = String::with_capacity(text.len());
        for line in text.lines() {
            let mut words = line.splitn(4, ' ');
            let (Some("#"), Some(kind), Some(name), rest) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                if line != "# EOF" {
                    plain.push_str(line);
                    plain.push('\n');
                }
                continue;
            };
            let end = if counters.contains(name) {
                "_total"
            } else {
                ""
            };
            if kind != "UNIT" {
                let rest = rest.unwrap_or_default();
                plain.push_str(&format!("# {kind} {name}{end} {rest}\n"));
            }
        }
        plain
    }
}
