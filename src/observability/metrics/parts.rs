//! What the service stands on: HSM, store, its own process.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use lethe_core::ports::AuditSink;

use crate::node::status::Condition;
use crate::observability::logging;

/// As the background work last saw it.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts {
    hsm_up: Gauge,
    store_up: Gauge,
    hsm_objects: Gauge,
    hsm_objects_max: Gauge,
    resident_memory: Gauge,
    lost_log_lines: Counter,
    audit_up: Gauge,
    audit_failures: Counter,
}

impl Parts {
    pub(super) fn register(&self, to: &mut Registry) {
        to.register(
            "hsm_up",
            "1 while the HSM answers; its last call, or the look every five seconds",
            self.hsm_up.clone(),
        );
        to.register(
            "store_up",
            "1 while the store takes what the background work writes",
            self.store_up.clone(),
        );
        to.register(
            "hsm_objects",
            "Objects on the token, whoever made them",
            self.hsm_objects.clone(),
        );
        to.register(
            "hsm_objects_max",
            "Objects that the token may hold, by the configuration",
            self.hsm_objects_max.clone(),
        );
        to.register(
            "log_lines_lost",
            "Lines of the log that nobody read in time",
            self.lost_log_lines.clone(),
        );
        to.register(
            "audit_up",
            "1 while audit records can be written",
            self.audit_up.clone(),
        );
        to.register(
            "audit_failures",
            "How often audit records could not be written any more",
            self.audit_failures.clone(),
        );
        to.register(
            "build",
            "What is running",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
    }

    /// Under the names that all exporters use.
    pub(super) fn register_process(&self, to: &mut Registry) {
        to.register_with_unit(
            "process_resident_memory",
            "Memory of the process that is in RAM",
            Unit::Bytes,
            self.resident_memory.clone(),
        );
    }

    pub(super) fn seen(&self, condition: &Condition, max_objects: u64) {
        self.hsm_up.set(condition.hsm().is_none().into());
        self.store_up.set(condition.store.is_none().into());
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.hsm_objects_max.set(number(max_objects));
        if let Some(seen) = &condition.seen {
            self.hsm_objects.set(number(seen.status.objects));
        }
    }

    /// Just before it is read.
    pub(super) fn measure_process(&self) {
        if let Some(bytes) = resident_memory() {
            self.resident_memory.set(bytes);
        }
        raise(&self.lost_log_lines, logging::lost_lines());
    }

    /// Just before it is read, too.
    pub(super) fn measure_audit(&self, audit: &dyn AuditSink) {
        self.audit_up.set(audit.check().is_ok().into());
        raise(&self.audit_failures, audit.failures());
    }
}

fn raise(counter: &Counter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

fn resident_memory() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mut lines = status.lines();
    let text = lines.find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = text.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1_024)
}
