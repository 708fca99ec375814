use std::path::Path;
use std::time::Duration;

use lethe_core::time::Timestamp;

use super::authority::{Authority, PkiError};
use super::check::{Subject, is_fresh};
use crate::config::SpiffeId;

const DAY: Duration = Duration::from_secs(86_400);

/// The throwaway PKI of a development folder. Makes certificates that are missing, do not fit together
/// or expire within a week, and keeps the rest. If a run is killed, the next one completes it.
///
/// # Errors
/// [`PkiError`].
pub fn ensure_development(
    folder: &Path,
    server_names: &[String],
    clients: &[(&str, SpiffeId)],
    now: Timestamp,
) -> Result<(), PkiError> {
    std::fs::create_dir_all(folder).map_err(|error| PkiError::File(folder.to_owned(), error))?;
    let signer = folder.join("ca.crt");
    let fresh = |name: &str, subject| is_fresh(&folder.join(name), &signer, &subject, now, DAY * 7);
    if !fresh("ca", Subject::Authority) {
        Authority::create(folder, "Lethe development CA", now, DAY * 3_650)?;
    }
    let authority = Authority::open(folder)?;
    if !fresh("server", Subject::Server(server_names)) {
        authority.issue_server(&folder.join("server"), server_names, now, DAY * 365)?;
    }
    for (name, id) in clients {
        if !fresh(name, Subject::Client(id)) {
            authority.issue_client(&folder.join(name), id, now, DAY * 365)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
