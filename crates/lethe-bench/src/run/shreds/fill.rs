//! Fills the store, and draws the curve meanwhile.

use serde::Serialize;

use super::site::{Shredding, Site};
use super::{Found, database, memory};
use crate::error::BenchError;
use crate::load::Extent;
use crate::output::say;

/// Shreds in a request of the fill.
const BATCH: u64 = 1_000;
const CONNECTIONS: usize = 8;
/// Where the curve has points, beside its end.
const MARKS: [u64; 5] = [0, 1_000, 10_000, 100_000, 300_000];
/// Shreds of a point at most, and between two words of progress.
const STRETCH: u64 = 50_000;
/// From here on the size of the database counts.
const DATABASE_MARK: u64 = 100_000;

/// What shredding cost after so many earlier shreds.
#[derive(Debug, Serialize)]
pub(super) struct Point {
    pub(super) earlier: u64,
    #[serde(flatten)]
    pub(super) shredding: Shredding,
}

/// Shreds until there are `earlier` in the store, and some more for the last point.
pub(super) async fn measure(
    site: &mut Site,
    earlier: u64,
    found: &mut Found,
) -> Result<(), BenchError> {
    for (from, to) in stages(earlier) {
        let point = stretch(site, to.min(from + STRETCH)).await?;
        found.curve.push(Point {
            earlier: from,
            shredding: point,
        });
        if from == DATABASE_MARK {
            memory::note(site, &mut found.results)?;
            let bytes = database::stop_and_measure(site)?;
            database::note_on_the_way(&mut found.results, bytes);
            site.restart().await?;
        }
        while site.shredded < to {
            let next = to.min(site.shredded + STRETCH);
            let rate = stretch(site, next).await?.figures.throughput;
            say(format_args!(
                "{} of {earlier} shredded, {rate:.0}/s",
                site.shredded
            ));
        }
    }
    Ok(())
}

/// From each mark to the next; at last a stretch beyond the end.
fn stages(end: u64) -> Vec<(u64, u64)> {
    let mut marks: Vec<_> = MARKS.into_iter().filter(|mark| *mark < end).collect();
    marks.extend([end, end + STRETCH.min(end)]);
    marks.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

/// Up to so many shreds, rounded up to whole requests.
async fn stretch(site: &mut Site, to: u64) -> Result<Shredding, BenchError> {
    let requests = to.saturating_sub(site.shredded).div_ceil(BATCH);
    let requests = Extent::Requests(requests.max(1));
    site.shred(CONNECTIONS, BATCH, requests).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_follow_each_other_and_go_beyond_the_end() {
        let short = [
            (0, 1_000),
            (1_000, 10_000),
            (10_000, 20_000),
            (20_000, 40_000),
        ];
        assert_eq!(stages(20_000), short);
        assert_eq!(stages(1_000), [(0, 1_000), (1_000, 2_000)]);
        assert_eq!(stages(1_000_000).last(), Some(&(1_000_000, 1_050_000)));
    }
}
