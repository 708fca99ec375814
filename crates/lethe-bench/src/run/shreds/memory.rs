//! The service's memory, after many shreds and many conversations.

use std::rc::Rc;

use super::super::keys::{BATCH, BatchIssue, Keys};
use super::super::results::Results;
use super::super::targets::BATCH_CONNECTIONS;
use super::site::{KEYSPACE, Site};
use super::targets::names;
use crate::error::BenchError;
use crate::load::{Extent, measure};
use crate::output::say;

/// Between two words of progress.
const STRETCH: u64 = 1_000_000;

/// Issues a key for each of so many conversations, in batches.
pub(super) async fn issue(site: &Site, conversations: u64) -> Result<(), BenchError> {
    let server = &site.lethe()?.server;
    let mut issued = 0;
    while issued < conversations {
        let count = STRETCH.min(conversations - issued);
        let workload = BatchIssue {
            keys: Keys::for_keyspace(server.endpoint.address, KEYSPACE),
            first: site.shredded + issued,
            conversations: count,
        };
        let requests = Extent::Requests(count.div_ceil(BATCH));
        let measured = measure(
            &server.endpoint,
            Rc::new(workload),
            BATCH_CONNECTIONS,
            requests,
            server.pid,
        );
        let rate = measured.await?.throughput;
        issued += count;
        say(format_args!(
            "keys for {issued} of {conversations} conversations, {rate:.0}/s"
        ));
    }
    Ok(())
}

/// The most that any process of the service had so far.
pub(super) fn note(site: &Site, results: &mut Results) -> Result<(), BenchError> {
    let peak = site.lethe()?.server.pid.peak_memory()? as f64 / f64::from(1 << 20);
    let earlier = results.single(names::MEMORY).unwrap_or_default();
    results.note(names::MEMORY, peak.max(earlier));
    Ok(())
}
