//! The JSON of a receipt and of its opening, as people keep it. Every value has one text, and unknown
//! fields are refused.

mod item;
mod opening;
mod shape;
mod text;

use base64ct::{Base64, Encoding};

use self::shape::{ItemJson, MethodJson, PlaceJson, ReceiptJson, SignatureJson};
use self::text::{bytes, parse, time, time_text, value};
use super::{Facts, Method, Receipt};

const FORMAT: &str = "lethe/v1/receipt";
const ALGORITHM: &str = "Ed25519";

/// Why a text is no receipt, or no opening.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJson {
    /// The text is not the JSON that is expected.
    #[error("not a receipt of Lethe: {0}")]
    Json(String),
    /// The value of this field is not written in the only form that Lethe writes.
    #[error("{0} is not valid")]
    Value(&'static str),
}

impl Receipt {
    /// The receipt as JSON, on one line.
    ///
    /// # Panics
    /// Never: it holds nothing that JSON cannot.
    #[must_use]
    pub fn to_json(&self) -> String {
        let facts = &self.facts;
        let json = ReceiptJson {
            format: FORMAT.to_owned(),
            item: ItemJson::from_item(&self.item, facts.deployment),
            destroyed_at: time_text(facts.destroyed_at),
            destroyed: facts.destroyed.iter().map(ToString::to_string).collect(),
            method: match facts.method {
                Method::RootsDestroyed => MethodJson::HsmRootsDestroyed,
                Method::BucketKeyDestroyed => MethodJson::HsmBucketKeyDestroyed,
            },
            deployment: facts.deployment.to_string(),
            sequence: facts.sequence,
            batch: PlaceJson {
                size: self.size,
                index: self.index,
                path: self
                    .path
                    .iter()
                    .map(|hash| Base64::encode_string(hash))
                    .collect(),
            },
            signature: SignatureJson {
                algorithm: ALGORITHM.to_owned(),
                key: facts.signing_key.to_string(),
                value: Base64::encode_string(&self.signature),
            },
        };
        serde_json::to_string(&json).expect("strings and numbers")
    }

    /// Reads what [`Self::to_json`] wrote, whatever the white space. Verifies nothing.
    ///
    /// # Errors
    /// [`InvalidJson`], with the name of the value.
    pub fn from_json(text: &str) -> Result<Self, InvalidJson> {
        let json: ReceiptJson = parse(text)?;
        if json.format != FORMAT {
            return Err(InvalidJson::Value("format"));
        }
        if json.signature.algorithm != ALGORITHM {
            return Err(InvalidJson::Value("signature.algorithm"));
        }
        let facts = Facts {
            deployment: value("deployment", &json.deployment)?,
            method: match json.method {
                MethodJson::HsmRootsDestroyed => Method::RootsDestroyed,
                MethodJson::HsmBucketKeyDestroyed => Method::BucketKeyDestroyed,
            },
            sequence: json.sequence,
            destroyed_at: time("destroyed_at", &json.destroyed_at)?,
            destroyed: json
                .destroyed
                .iter()
                .map(|id| value("destroyed", id))
                .collect::<Result<_, _>>()?,
            signing_key: value("signature.key", &json.signature.key)?,
        };
        Ok(Self {
            item: json.item.read(facts.deployment)?,
            facts,
            index: json.batch.index,
            size: json.batch.size,
            path: json
                .batch
                .path
                .iter()
                .map(|hash| bytes("batch.path", hash))
                .collect::<Result<_, _>>()?,
            signature: bytes("signature.value", &json.signature.value)?,
        })
    }
}
