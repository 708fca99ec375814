use std::io::Write;

use super::Failure;

/// `lethe openapi`
pub(super) fn run() -> Result<(), Failure> {
    let document = serde_json::to_string_pretty(&crate::http::document())?;
    Ok(writeln!(std::io::stdout(), "{document}")?)
}
