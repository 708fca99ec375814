use std::time::Duration;

use lethe_core::duration::Span;
use serde::{Deserialize, Deserializer, de::Error};

/// Reads `5s`, `500ms`, `1h`.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(source)?;
    let span: Span = text.parse().map_err(D::Error::custom)?;
    Ok(Duration::from_millis(span.as_millis()))
}

/// The same for an option that need not be given.
pub(super) fn deserialize_given<'de, D: Deserializer<'de>>(
    source: D,
) -> Result<Option<Duration>, D::Error> {
    deserialize(source).map(Some)
}

/// Refuses timeouts that are too short for any network, or longer than anybody waits: they are
/// mistakes.
pub(super) fn check(option: &str, value: Duration) -> Result<(), String> {
    if (Duration::from_millis(10)..=Duration::from_secs(3_600)).contains(&value) {
        Ok(())
    } else {
        Err(format!("{option} must be 10ms to 1h"))
    }
}
