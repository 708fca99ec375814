//! The targets of shredding: `docs/design.md#targets`.

use super::super::results::Results;
use super::super::targets::{Bound, Target, target};
use crate::load::Measured;

/// Names of the cases and of what is measured once.
pub(super) mod names {
    type Name = &'static str;
    pub(in super::super) const SHRED_BUSY: Name = "shreds, batches of 1,000";
    pub(in super::super) const SHRED_ALONE: Name = "shred, one alone";
    pub(in super::super) const ISSUE: Name = "issue";
    pub(in super::super) const ISSUE_BESIDE: Name = "issue beside 500 shreds/s";
    pub(in super::super) const UNWRAP: Name = "unwrap";
    pub(in super::super) const UNWRAP_BESIDE: Name = "unwrap beside 500 shreds/s";
    pub(in super::super) const TOGETHER: Name = "shreds of one root, at 4 connections";
    pub(in super::super) const PAGE_BYTES: Name = "page bytes a shred";
    pub(in super::super) const DATABASE_EARLY: Name =
        "database bytes a shred with its log, from 100,000 shreds";
    pub(in super::super) const LOG_EARLY: Name =
        "database bytes a shred in the log, from 100,000 shreds";
    pub(in super::super) const SHREDS: Name = "shreds in the database";
    pub(in super::super) const DATABASE: Name = "database bytes a shred with its log, all shreds";
    pub(in super::super) const LOG: Name = "database bytes a shred in the log, all shreds";
    pub(in super::super) const START_READY: Name = "start, process to ready, ms";
    pub(in super::super) const START_ANSWER: Name = "start, process to first answer, ms";
    pub(in super::super) const START_FROM_HSM: Name = "start, open HSM to first answer, ms";
    pub(in super::super) const MEMORY: Name = "service's peak memory, MB";
    pub(in super::super) const RATE_BESIDE: Name = "shreds/s beside the keys";
    pub(in super::super) const RECEIPT_BESIDE: Name = "receipt beside the keys, p50 ms";
}
use names::{
    DATABASE, DATABASE_EARLY, ISSUE, ISSUE_BESIDE, MEMORY, PAGE_BYTES, SHRED_ALONE, SHRED_BUSY,
    SHREDS, START_ANSWER, START_FROM_HSM, UNWRAP, UNWRAP_BESIDE,
};

/// Over how many connections shreds are sent as fast as they go.
pub(super) const BUSY_CONNECTIONS: [usize; 2] = [4, 8];
/// Over how many connections keys are issued and unwrapped.
pub(super) const KEY_CONNECTIONS: usize = 16;

/// The longest that a receipt may take, in milliseconds.
const RECEIPT: f64 = 1_000.0;

#[rustfmt::skip] // a table
pub(super) const TARGETS: &[Target] = &[
    target("shreds/s busy, receipts within 1 s", Bound::AtLeast(5_000.0), |r| Some(busy(r)?.throughput)),
    target("the same, stretched", Bound::AtLeast(8_000.0), |r| Some(busy(r)?.throughput)),
    target("their receipts, p99 ms", Bound::AtMost(RECEIPT), |r| Some(busy(r)?.p99 / 1e3)),
    target("one alone, p50 ms", Bound::AtMost(15.0), |r| Some(r.median(SHRED_ALONE, 1)?.p50 / 1e3)),
    target("one alone, p99 ms", Bound::AtMost(50.0), |r| Some(r.median(SHRED_ALONE, 1)?.p99 / 1e3)),
    target("page bytes a shred", Bound::AtMost(4_500.0), |r| r.single(PAGE_BYTES)),
    target("disk bytes a shred", Bound::AtMost(25_000.0), |r| r.median(SHRED_BUSY, BUSY_CONNECTIONS[0])?.disk),
    target("database bytes a shred, from 100,000", Bound::AtMost(2_500.0), |r| r.single(DATABASE_EARLY)),
    target("database bytes a shred, all", Bound::AtMost(2_500.0), database),
    target("start, open HSM to first answer, ms", Bound::AtMost(100.0), |r| r.single(START_FROM_HSM).or(r.single(START_ANSWER))),
    target("service's peak memory, MB", Bound::AtMost(512.0), |r| r.single(MEMORY)),
    target("issue beside shreds / alone, throughput at 16", Bound::AtLeast(0.9), |r| kept(r, [ISSUE_BESIDE, ISSUE])),
    target("unwrap beside shreds / alone, throughput at 16", Bound::AtLeast(0.9), |r| kept(r, [UNWRAP_BESIDE, UNWRAP])),
];

/// Share of its throughput that an operation keeps.
fn kept(results: &Results, cases: [&str; 2]) -> Option<f64> {
    results.ratio(cases, KEY_CONNECTIONS, |it| it.throughput)
}

/// The target holds from so many shreds up.
fn database(results: &Results) -> Option<f64> {
    let enough = results.single(SHREDS)? >= 100_000.0;
    results.single(DATABASE).filter(|_| enough)
}

/// The load with most shreds a second of those whose receipts come in time; of two that are late
/// the one that is less so. Throughput and wait are of one load: each alone is easy.
fn busy(results: &Results) -> Option<Measured> {
    let loads = BUSY_CONNECTIONS.map(|connections| results.median(SHRED_BUSY, connections));
    let late = |load: &Measured| (load.p99 / 1e3 - RECEIPT).max(0.0);
    loads.into_iter().flatten().min_by(|a, b| {
        let by_throughput = b.throughput.total_cmp(&a.throughput);
        late(a).total_cmp(&late(b)).then(by_throughput)
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::results::{Case, measured};
    use super::*;

    fn busy_of(loads: [(f64, f64); 2]) -> f64 {
        let mut results = Results::default();
        for ((throughput, seconds), connections) in loads.into_iter().zip(BUSY_CONNECTIONS) {
            let case = Case {
                name: SHRED_BUSY,
                connections,
            };
            let p99 = seconds * 1e6;
            results.add(
                case,
                Measured {
                    p99,
                    ..measured(throughput)
                },
            );
        }
        busy(&results).unwrap().throughput
    }

    #[test]
    fn the_most_shreds_whose_receipts_are_in_time_count() {
        assert_eq!(busy_of([(5_000.0, 0.5), (9_000.0, 0.9)]), 9_000.0);
        assert_eq!(busy_of([(5_000.0, 0.5), (9_000.0, 1.1)]), 5_000.0);
        assert_eq!(busy_of([(5_000.0, 1.2), (9_000.0, 1.1)]), 9_000.0);
    }
}
