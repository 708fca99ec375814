use super::Failure;

/// `lethe openapi`
pub(super) fn run() -> Result<(), Failure> {
    println!(
        "{}",
        serde_json::to_string_pretty(&crate::http::document())?
    );
    Ok(())
}
