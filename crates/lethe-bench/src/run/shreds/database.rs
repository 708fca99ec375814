//! How large the database is for what was shredded: nothing else is in it.

use super::super::results::Results;
use super::site::Site;
use super::targets::names;
use crate::error::BenchError;
use crate::peers::database_bytes;

/// Bytes for each shredded conversation.
pub(super) struct PerShred {
    database: f64,
    log: f64,
}

/// Of the files that a stopped service leaves.
pub(super) fn stop_and_measure(site: &mut Site) -> Result<PerShred, BenchError> {
    site.stop();
    let shreds = site.shredded as f64;
    let [database, log] = database_bytes(&site.path).map(|bytes| bytes as f64 / shreds);
    if database == 0.0 {
        return Err(BenchError::Server("there is no database".into()));
    }
    Ok(PerShred { database, log })
}

/// At about 100,000 shreds.
pub(super) fn note_on_the_way(results: &mut Results, bytes: PerShred) {
    results.note(names::DATABASE_EARLY, bytes.database + bytes.log);
    results.note(names::LOG_EARLY, bytes.log);
}

/// With all shreds.
pub(super) fn note_at_end(results: &mut Results, shreds: u64, bytes: PerShred) {
    results.note(names::SHREDS, shreds as f64);
    results.note(names::DATABASE, bytes.database + bytes.log);
    results.note(names::LOG, bytes.log);
}
