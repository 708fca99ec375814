//! Shapes of the API's JSON. Answers have optional fields throughout: `untagged` and `flatten`
//! would buffer, and so copy, what holds data keys.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de};

use crate::data_key::DataKey;
use crate::error::{Error, ErrorCode, Problem};

/// The answer of issue, unwrap and rewrap, alone or as an item of a batch.
#[derive(Deserialize)]
pub(crate) struct KeyAnswer {
    pub(crate) conversation: Option<String>,
    pub(crate) data_key: Option<DataKey>,
    pub(crate) wrapped_key: Option<String>,
    pub(crate) version: Option<u32>,
    #[serde(default, deserialize_with = "time")]
    pub(crate) use_until: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    pub(crate) cache_until: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) error: Option<ItemError>,
}

/// What an item of a batch says when it failed.
#[derive(Deserialize)]
pub(crate) struct ItemError {
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) detail: String,
}

impl From<ItemError> for Problem {
    fn from(error: ItemError) -> Self {
        Self {
            code: ErrorCode::from(error.code.as_str()),
            status: None,
            detail: error.detail,
            retry_after: None,
            request_id: None,
        }
    }
}

/// RFC 3339, absent or null allowed.
pub(crate) fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    Option::<String>::deserialize(from)?
        .map(|text| {
            text.parse()
                .map_err(|_| de::Error::custom("no RFC 3339 time"))
        })
        .transpose()
}

/// A field that this answer must have.
pub(crate) fn required<T>(field: Option<T>, name: &str) -> Result<T, Error> {
    field.ok_or_else(|| Error::unexpected(format!("{name} is missing")))
}
