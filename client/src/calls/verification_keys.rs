//! `/v1/verification-keys`

use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::error::Error;

/// A public key that checks what the service signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationKey {
    /// The key's id, as receipts and checkpoints have it: 32 hex digits.
    pub id: String,
    /// What the key signs: `receipt` or `checkpoint`.
    pub purpose: String,
    /// The algorithm: `Ed25519`.
    pub algorithm: String,
    /// The 32 bytes of the public key, base64.
    pub public_key: String,
    /// The same key as PEM.
    pub pem: String,
    /// Id of the key that it took over from, if there was one.
    #[serde(default)]
    pub succeeds: Option<String>,
    /// The signature of the key before for this one, base64.
    #[serde(default)]
    pub endorsement: Option<String>,
}

#[derive(Deserialize)]
struct KeysAnswer {
    keys: Vec<VerificationKey>,
}

impl Client {
    /// The public keys of receipts and of the audit log's checkpoints.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn verification_keys(&self) -> Result<Vec<VerificationKey>, Error> {
        let answer = self.get("/v1/verification-keys".into()).await?;
        Ok(answer.parse::<KeysAnswer>()?.keys)
    }
}
