//! Openings in JSON.

use base64ct::{Base64, Encoding};

use super::InvalidJson;
use super::shape::{OpeningJson, ShreddedKeyJson};
use super::text::{bytes, parse, value};
use crate::conversation::ConversationId;
use crate::grid::Generation;
use crate::keyspace::KeyVersion;
use crate::receipt::{Opening, ShreddedKey};
use crate::secret::Secret32;

impl Opening {
    /// The opening as JSON, on one line.
    ///
    /// # Panics
    /// Never: it holds nothing that JSON cannot.
    #[must_use]
    pub fn to_json(&self) -> String {
        let json = OpeningJson {
            salt: Base64::encode_string(self.salt.expose()),
            keyspace: self.keyspace.to_string(),
            conversation: self.conversation.as_str().to_owned(),
            keys: self.keys.iter().map(ShreddedKeyJson::from).collect(),
        };
        serde_json::to_string(&json).expect("strings and numbers")
    }

    /// Reads what [`Self::to_json`] wrote.
    ///
    /// # Errors
    /// [`InvalidJson`], with the name of the value.
    pub fn from_json(text: &str) -> Result<Self, InvalidJson> {
        let json: OpeningJson = parse(text)?;
        let salt = bytes("salt", &json.salt)?;
        let conversation = ConversationId::try_from(json.conversation.as_str());
        let keys = json.keys.iter().map(ShreddedKey::try_from);
        Ok(Self {
            salt: Secret32::filled(|bytes| *bytes = salt),
            keyspace: value("keyspace", &json.keyspace)?,
            conversation: conversation.map_err(|_| InvalidJson::Value("conversation"))?,
            keys: keys.collect::<Result<_, _>>()?,
        })
    }
}

impl From<&ShreddedKey> for ShreddedKeyJson {
    fn from(key: &ShreddedKey) -> Self {
        Self {
            version: key.version.number(),
            generation: key.generation.number(),
        }
    }
}

impl TryFrom<&ShreddedKeyJson> for ShreddedKey {
    type Error = InvalidJson;

    fn try_from(json: &ShreddedKeyJson) -> Result<Self, InvalidJson> {
        Ok(Self {
            version: KeyVersion::new(json.version).ok_or(InvalidJson::Value("version"))?,
            generation: Generation::new(json.generation),
        })
    }
}
