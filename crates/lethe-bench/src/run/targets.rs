//! The targets of keys: `docs/design.md#targets`. A new one is one line in [`TARGETS`].

use super::results::Results;

/// Names of the cases and of what is measured once.
pub(super) mod names {
    pub(in crate::run) const CONTROL: &str = "control";
    pub(in crate::run) const CONTROL_ANEW: &str = "control, new connection";
    pub(in crate::run) const ISSUE_ANEW: &str = "lethe issue, new connection";
    pub(in crate::run) const ISSUE: &str = "lethe issue";
    pub(in crate::run) const UNWRAP: &str = "lethe unwrap warm";
    pub(in crate::run) const UNWRAP_COLD: &str = "lethe unwrap cold";
    pub(in crate::run) const ISSUE_NO_DISK: &str = "lethe issue, no disk wait";
    pub(in crate::run) const UNWRAP_NO_DISK: &str = "lethe unwrap, no disk wait";
    pub(in crate::run) const BATCH_ISSUE: &str = "lethe batch issue";
    pub(in crate::run) const BATCH_UNWRAP: &str = "lethe batch unwrap warm";
    pub(in crate::run) const BATCH_UNWRAP_COLD: &str = "lethe batch unwrap cold";
    pub(in crate::run) const OPENBAO: &str = "openbao datakey";
    pub(in crate::run) const OPENBAO_AUDIT: &str = "openbao datakey, audit file";
    pub(in crate::run) const EXPIRY_SMALL: &str = "expiry of 1,000 keys, ms";
    pub(in crate::run) const EXPIRY_LARGE: &str = "expiry of 1,000,000 keys, ms";
    pub(in crate::run) const DATABASE_GROWTH: &str =
        "database growth over 1,000,000 conversations, bytes";
    pub(in crate::run) const MEMORY: &str = "server's peak memory, MB";
}
use names::{
    BATCH_UNWRAP, BATCH_UNWRAP_COLD, CONTROL, CONTROL_ANEW, DATABASE_GROWTH, EXPIRY_LARGE,
    EXPIRY_SMALL, ISSUE, ISSUE_ANEW, ISSUE_NO_DISK, MEMORY, OPENBAO_AUDIT, UNWRAP, UNWRAP_NO_DISK,
};

/// Connections over which batches are sent.
pub(super) const BATCH_CONNECTIONS: usize = 4;

/// A million rows would be tens of megabytes; a few frames of the write-ahead log come from the
/// service's clock mark, whatever is issued.
const NO_ROWS: f64 = 65_536.0;

/// Where a value must lie.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, ">= {least}"),
            Self::AtMost(most) => write!(f, "<= {most}"),
        }
    }
}

/// What is asked for.
pub(super) struct Target {
    pub(super) what: &'static str,
    pub(super) bound: Bound,
    value: fn(&Results) -> Option<f64>,
}

/// A target beside what was measured.
pub(super) struct Verdict {
    pub(super) what: &'static str,
    pub(super) bound: Bound,
    /// None when it was not measured.
    pub(super) measured: Option<(f64, bool)>,
}

/// Compares all of `targets`.
pub(super) fn verdicts(results: &Results, targets: &[Target]) -> Vec<Verdict> {
    let verdict = |target: &Target| Verdict {
        what: target.what,
        bound: target.bound,
        measured: (target.value)(results).map(|value| (value, target.bound.holds(value))),
    };
    targets.iter().map(verdict).collect()
}

pub(super) const fn target(
    what: &'static str,
    bound: Bound,
    value: fn(&Results) -> Option<f64>,
) -> Target {
    Target { what, bound, value }
}

/// Of issue, unwrap and expiry.
#[rustfmt::skip] // a table
pub(super) const TARGETS: &[Target] = &[
    target("issue / control, throughput at 16", Bound::AtLeast(0.50), |r| share(r, ISSUE, CONTROL, 16)),
    target("unwrap / control, throughput at 16", Bound::AtLeast(0.50), |r| share(r, UNWRAP, CONTROL, 16)),
    target("issue / control, throughput at 64", Bound::AtLeast(0.70), |r| share(r, ISSUE, CONTROL, 64)),
    target("unwrap / control, throughput at 64", Bound::AtLeast(0.70), |r| share(r, UNWRAP, CONTROL, 64)),
    target("issue without disk wait / control at 16", Bound::AtLeast(0.85), |r| share(r, ISSUE_NO_DISK, CONTROL, 16)),
    target("unwrap without disk wait / control at 16", Bound::AtLeast(0.85), |r| share(r, UNWRAP_NO_DISK, CONTROL, 16)),
    target("issue / control, throughput at 256, lowest round", Bound::AtLeast(0.70), |r| lowest(r, 256)),
    target("issue / control, throughput at 1024, lowest round", Bound::AtLeast(0.70), |r| lowest(r, 1_024)),
    target("issue / control, new connections, at 16", Bound::AtLeast(0.90), |r| r.ratio([ISSUE_ANEW, CONTROL_ANEW], 16, |it| it.throughput)),
    target("issue / control, server CPU at 64", Bound::AtMost(1.4), |r| cpu_share(r, ISSUE)),
    target("unwrap / control, server CPU at 64", Bound::AtMost(1.4), |r| cpu_share(r, UNWRAP)),
    target("issue beside TLS and HTTP, us of CPU at 64", Bound::AtMost(10.0), |r| cpu_added(r, ISSUE)),
    target("unwrap beside TLS and HTTP, us of CPU at 64", Bound::AtMost(10.0), |r| cpu_added(r, UNWRAP)),
    target("issue - control, p50 at 1, us", Bound::AtMost(500.0), |r| added_p50(r, ISSUE)),
    target("unwrap - control, p50 at 1, us", Bound::AtMost(500.0), |r| added_p50(r, UNWRAP)),
    target("issue / OpenBao with audit file at 16", Bound::AtLeast(4.0), |r| share(r, ISSUE, OPENBAO_AUDIT, 16)),
    target("issue / OpenBao with audit file at 64", Bound::AtLeast(6.0), |r| share(r, ISSUE, OPENBAO_AUDIT, 64)),
    target("batch unwrap of 1,000, warm, keys/s", Bound::AtLeast(200_000.0), |r| batch(r, BATCH_UNWRAP)),
    target("batch unwrap of 1,000, cold, keys/s", Bound::AtLeast(120_000.0), |r| batch(r, BATCH_UNWRAP_COLD)),
    target("expiry of a bucket with 1,000,000 keys, ms", Bound::AtMost(50.0), |r| r.single(EXPIRY_LARGE)),
    target("the same minus one with 1,000 keys, ms", Bound::AtMost(10.0), |r| Some(r.single(EXPIRY_LARGE)? - r.single(EXPIRY_SMALL)?)),
    target("database growth over 1,000,000 conversations, bytes", Bound::AtMost(NO_ROWS), |r| r.single(DATABASE_GROWTH)),
    target("server's peak memory, MB", Bound::AtMost(512.0), |r| r.single(MEMORY)),
];

fn throughput(results: &Results, name: &str, connections: usize) -> Option<f64> {
    Some(results.median(name, connections)?.throughput)
}

/// Throughput as a share of another's.
pub(super) fn share(results: &Results, of: &str, to: &str, connections: usize) -> Option<f64> {
    Some(throughput(results, of, connections)? / throughput(results, to, connections)?)
}

/// Of all rounds: what is sometimes slow is slow.
fn lowest(results: &Results, connections: usize) -> Option<f64> {
    let ratios = results.ratios([ISSUE, CONTROL], connections, |it| it.throughput)?;
    ratios.first().copied()
}

fn server_cpu(results: &Results, name: &str) -> Option<f64> {
    Some(results.median(name, 64)?.server_cpu)
}

fn cpu_share(results: &Results, name: &str) -> Option<f64> {
    Some(server_cpu(results, name)? / server_cpu(results, CONTROL)?)
}

fn cpu_added(results: &Results, name: &str) -> Option<f64> {
    Some(server_cpu(results, name)? - server_cpu(results, CONTROL)?)
}

fn added_p50(results: &Results, name: &str) -> Option<f64> {
    Some(results.median(name, 1)?.p50 - results.median(CONTROL, 1)?.p50)
}

fn batch(results: &Results, name: &str) -> Option<f64> {
    throughput(results, name, BATCH_CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::super::results::{Case, measured};
    use super::*;

    fn verdict_at_16(issue: f64) -> Option<(f64, bool)> {
        let mut results = Results::default();
        for (name, throughput) in [(CONTROL, 100.0), (ISSUE, issue)] {
            results.add(
                Case {
                    name,
                    connections: 16,
                },
                measured(throughput),
            );
        }
        verdicts(&results, TARGETS)[0].measured
    }

    #[test]
    fn a_target_is_met_from_its_bound_on() {
        assert_eq!(verdict_at_16(50.0), Some((0.5, true)));
        assert_eq!(verdict_at_16(49.0), Some((0.49, false)));
        assert!(Bound::AtMost(1.0).holds(1.0) && !Bound::AtMost(1.0).holds(1.1));
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        let verdicts = verdicts(&Results::default(), TARGETS);
        assert!(verdicts.iter().all(|verdict| verdict.measured.is_none()));
    }
}
