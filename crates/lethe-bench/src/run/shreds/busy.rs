//! How many shreds a second the service acknowledges when there are always more.

use super::super::results::{Case, Results, median};
use super::site::Site;
use super::targets::{BUSY_CONNECTIONS, names};
use crate::error::BenchError;
use crate::load::Interval;
use crate::output::say;

/// Shreds in a request.
const BATCH: u64 = 1_000;

/// Few connections, for batches of about 2,000 in the service, and more, for larger ones: the more
/// wait, the more are done at once, and the longer each one waits.
pub(super) async fn measure(
    site: &mut Site,
    rounds: u32,
    interval: Interval,
    results: &mut Results,
) -> Result<(), BenchError> {
    let (mut together, mut page_bytes) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        for connections in BUSY_CONNECTIONS {
            say(format_args!(
                "round {round} of {rounds}: shreds at {connections}"
            ));
            let shredding = site.shred(connections, BATCH, interval).await?;
            let name = names::SHRED_BUSY;
            results.add(Case { name, connections }, shredding.figures);
            if connections == BUSY_CONNECTIONS[0] {
                together.extend(shredding.together);
                page_bytes.extend(shredding.page_bytes);
            }
        }
    }
    let mut note = |name, values| match median(values) {
        Some(value) => results.note(name, value),
        None => results
            .missing
            .push(format!("{name}: the service does not offer the metric")),
    };
    note(names::TOGETHER, together);
    note(names::PAGE_BYTES, page_bytes);
    Ok(())
}
