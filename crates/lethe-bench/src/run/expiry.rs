//! Does a bucket with a million keys take longer to destroy than one with a thousand?

use std::time::Duration;

use serde_json::json;

use super::keys::issue_all;
use super::results::Results;
use super::targets::names;
use crate::clock;
use crate::error::BenchError;
use crate::peers::{Lethe, Method, Metrics, call};

/// Histogram of the service: seconds from a bucket's instant of expiry to its destruction.
const METRIC: &str = "lethe_expiry_destroy_seconds";
const WAIT_LIMIT: Duration = Duration::from_secs(10);

/// Keys to let expire together.
struct Bucket {
    name: &'static str,
    keyspace: &'static str,
    keys: u64,
    /// Its width and its retention, in seconds: long enough to issue all keys.
    width: u64,
}

const BUCKETS: [Bucket; 2] = [
    Bucket {
        name: names::EXPIRY_SMALL,
        keyspace: "bench-expiry-small",
        keys: 1_000,
        width: 10,
    },
    Bucket {
        name: names::EXPIRY_LARGE,
        keyspace: "bench-expiry-large",
        keys: 1_000_000,
        width: 30,
    },
];

/// One after the other; what cannot be measured is said in the results.
pub(super) async fn measure(lethe: &Lethe, results: &mut Results) -> Result<(), BenchError> {
    for bucket in BUCKETS {
        match expire(lethe, &bucket).await? {
            Ok(seconds) => results.note(bucket.name, seconds * 1e3),
            Err(why) => results.missing.push(format!("{}: {why}", bucket.name)),
        }
    }
    Ok(())
}

/// Seconds that the service took, or why it cannot be said.
async fn expire(lethe: &Lethe, bucket: &Bucket) -> Result<Result<f64, &'static str>, BenchError> {
    let span = format!("{}s", bucket.width);
    let policy =
        json!({"retention": span, "granularity": span, "rotation": "30d", "cache_ttl": "1s"});
    let path = format!("/v1/keyspaces/{}", bucket.keyspace);
    call(&lethe.operator, Method::Put, &path, "", &policy).await?;
    // Buckets begin at multiples of their width since the epoch (`docs/design.md#buckets`).
    let begin = (clock::since_epoch().as_secs() / bucket.width + 1) * bucket.width;
    let (end, expiry) = (begin + bucket.width, begin + 2 * bucket.width);
    sleep_until(Duration::from_secs(begin)).await;
    issue_all(
        &lethe.server.endpoint,
        bucket.keyspace,
        bucket.keys,
        0,
        bucket.keys,
    )
    .await?;
    if clock::since_epoch() + Duration::from_secs(1) > Duration::from_secs(end) {
        return Ok(Err("issuing took longer than a bucket is wide"));
    }
    sleep_until(Duration::from_secs(expiry) - Duration::from_millis(500)).await;
    let Some(before) = destroyed(&lethe.metrics()?) else {
        return Ok(Err("the service does not offer the metric"));
    };
    wait_for_one_more(lethe, before).await
}

/// Buckets destroyed so far and the seconds that took.
fn destroyed(metrics: &Metrics) -> Option<(f64, f64)> {
    let total = |part: &str| metrics.total(&format!("{METRIC}_{part}"));
    Some((total("count")?, total("sum")?))
}

async fn wait_for_one_more(
    lethe: &Lethe,
    (count, sum): (f64, f64),
) -> Result<Result<f64, &'static str>, BenchError> {
    let deadline = clock::now() + WAIT_LIMIT;
    while clock::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
        match destroyed(&lethe.metrics()?) {
            Some((now, total)) if now > count => return Ok(Ok((total - sum) / (now - count))),
            _ => {}
        }
    }
    Ok(Err("the bucket was not destroyed in time"))
}

async fn sleep_until(instant: Duration) {
    tokio::time::sleep(instant.saturating_sub(clock::since_epoch())).await;
}
