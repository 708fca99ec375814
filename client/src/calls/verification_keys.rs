//! `/v1/verification-keys`

use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::error::Error;

/// A public key that checks what the service signs, as the service tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationKey {
    /// As receipts and checkpoints name it: hex.
    pub id: String,
    /// `receipt` or `checkpoint`.
    pub purpose: String,
    /// `Ed25519`.
    pub algorithm: String,
    /// Base64 of the bare public key.
    pub public_key: String,
    /// The same key as PEM.
    pub pem: String,
    /// Id of the key that it took over from, if there was one.
    #[serde(default)]
    pub succeeds: Option<String>,
    /// Base64 of that key's signature for this one.
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
