//! Values and their only text.

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::InvalidJson;
use crate::time::Timestamp;

/// Only JSON objects are accepted: serde would take arrays, too.
pub(super) fn parse<'a, T: Deserialize<'a> + Serialize>(text: &'a str) -> Result<T, InvalidJson> {
    let invalid = |error: serde_json::Error| InvalidJson::Json(error.to_string());
    let parsed: T = serde_json::from_str(text).map_err(invalid)?;
    let shape: Value = serde_json::from_str(text).map_err(invalid)?;
    if serde_json::to_value(&parsed).map_err(invalid)? == shape {
        Ok(parsed)
    } else {
        Err(InvalidJson::Json("it has another shape".into()))
    }
}

/// A value with only one text.
pub(super) fn value<T: std::str::FromStr + ToString>(
    name: &'static str,
    text: &str,
) -> Result<T, InvalidJson> {
    let parsed = text.parse().ok();
    parsed
        .filter(|value: &T| value.to_string() == text)
        .ok_or(InvalidJson::Value(name))
}

pub(super) fn bytes<const N: usize>(
    name: &'static str,
    text: &str,
) -> Result<[u8; N], InvalidJson> {
    let decoded = Base64::decode_vec(text).ok();
    decoded
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(InvalidJson::Value(name))
}

/// RFC 3339 in UTC with milliseconds. An instant that has no such text, beyond the year 9999,
/// is shown as the last that has one.
pub(super) fn time_text(time: Timestamp) -> String {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    format!("{time:.3}")
}

pub(super) fn time(name: &'static str, text: &str) -> Result<Timestamp, InvalidJson> {
    let parsed = text.parse::<jiff::Timestamp>().ok();
    parsed
        .and_then(|time| u64::try_from(time.as_millisecond()).ok())
        .map(Timestamp::from_millis)
        .filter(|time| time_text(*time) == text)
        .ok_or(InvalidJson::Value(name))
}
