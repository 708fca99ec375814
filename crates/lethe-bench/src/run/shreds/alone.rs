//! What one shred takes when nothing else is to do.

use std::time::Duration;

use super::super::results::{Case, Results};
use super::site::Site;
use super::targets::names;
use crate::error::BenchError;
use crate::load::Extent;

const SHREDS: u64 = 200;
/// Until the service has put away what was shredded before.
const PAUSE: Duration = Duration::from_secs(2);

/// One after the other over one connection.
pub(super) async fn measure(site: &mut Site, results: &mut Results) -> Result<(), BenchError> {
    tokio::time::sleep(PAUSE).await;
    let shredding = site.shred(1, 1, Extent::Requests(SHREDS)).await?;
    let case = Case {
        name: names::SHRED_ALONE,
        connections: 1,
    };
    results.add(case, shredding.figures);
    Ok(())
}
