//! Whether expired buckets were destroyed in time: asked of the service afterwards, which names both
//! instants of each.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::deployment::{BRIEF, Deployment};
use crate::clock;
use crate::error::BenchError;
use crate::peers::{Method, ask};

/// What may be late when we ask is asked for again.
const ASKED_FOR: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(100);
const PAGE: u64 = 1_000;
/// The service's gauge: by how many seconds the oldest destruction is late.
const OVERDUE: &str = "lethe_expiry_lag_seconds";

/// How late the latest bucket was destroyed of those that expired from `begin` to `end`, seconds since the
/// epoch; none when one is overdue, or none of a later instant is destroyed, some seconds later. Not every second
/// has a bucket of [`BRIEF`]: a service that is busy leaves out those that nobody needs any more.
pub(super) async fn latest(
    target: &Deployment,
    begin: u64,
    end: u64,
) -> Result<Option<f64>, BenchError> {
    let deadline = clock::now() + ASKED_FOR;
    while clock::now() < deadline {
        let destroyed = destroyed(target, begin).await.unwrap_or_default();
        let overdue = target.lethe().metrics()?.total(OVERDUE).unwrap_or_default();
        if overdue <= 1.0 && destroyed.iter().any(|(expiry, _)| *expiry > end) {
            let asked_for = destroyed.iter().filter(|(expiry, _)| *expiry <= end);
            return Ok(Some(asked_for.map(|(_, late)| *late).fold(0.0, f64::max)));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(None)
}

/// Instants of expiry from `begin` on, with the seconds from each to the destruction.
async fn destroyed(target: &Deployment, begin: u64) -> Result<Vec<(u64, f64)>, BenchError> {
    let path = format!("/v1/expiries?limit={PAGE}&after={}", begin - 1);
    let operator = &target.lethe().operator;
    let asked = ask(operator, Method::Get, &path, "", &Value::Null);
    let answer = tokio::time::timeout(super::STEP, asked).await;
    let answer = answer.map_err(|_| BenchError::Server(format!("{BRIEF}: no answer")))??;
    let rows = answer.body["expiries"].as_array().into_iter().flatten();
    let instant = |row: &Value, name: &str| row[name].as_str()?.parse::<Timestamp>().ok();
    let row = |row: &Value| {
        let (expired, destroyed) = (instant(row, "expired_at")?, instant(row, "destroyed_at")?);
        let late = destroyed.duration_since(expired).as_secs_f64();
        Some((u64::try_from(expired.as_second()).ok()?, late))
    };
    Ok(rows.filter_map(row).collect())
}
