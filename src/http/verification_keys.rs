use std::sync::Arc;

use base64ct::{Base64, Encoding};
use hyper::StatusCode;
use lethe_core::succession::PublishedKey;
use serde::Serialize;
use utoipa::ToSchema;

use super::call::{Call, Endpoint, Outcome};
use super::openapi::Description;
use super::problem::Problem;
use crate::identity::Role;
use crate::node::verification_keys::{pem, purpose_name};

/// `GET /v1/verification-keys`: shows the public keys. They come from memory, so that receipts can be
/// checked while the HSM does not answer.
pub(crate) struct VerificationKeys;

#[derive(Serialize)]
struct KeysAnswer {
    keys: Vec<VerificationKeyView>,
}

/// A public key that checks what the service signs.
#[derive(Serialize, ToSchema)]
pub(crate) struct VerificationKeyView {
    /// The key's id, as receipts and checkpoints have it: 32 hex digits.
    id: String,
    /// What the key signs: `receipt` or `checkpoint`.
    purpose: &'static str,
    /// The algorithm: always `Ed25519`.
    algorithm: &'static str,
    /// The 32 bytes of the public key, base64.
    public_key: String,
    /// The same key as PEM (RFC 8410).
    pem: String,
    /// The id of the key before it, if there was one.
    succeeds: Option<String>,
    /// The signature of the key before for this one, base64.
    endorsement: Option<String>,
}

impl From<&PublishedKey> for VerificationKeyView {
    fn from(published: &PublishedKey) -> Self {
        let PublishedKey { key, succession } = published;
        Self {
            id: key.id.to_string(),
            purpose: purpose_name(key.purpose),
            algorithm: "Ed25519",
            public_key: Base64::encode_string(&key.public_key),
            pem: pem(&key.public_key),
            succeeds: succession.map(|it| it.predecessor.to_string()),
            endorsement: succession.map(|it| Base64::encode_string(&it.endorsement)),
        }
    }
}

impl Endpoint for VerificationKeys {
    const NAME: &'static str = "verification_keys";
    const ROLES: &'static [Role] = Role::ANY;
    const BODY: bool = false;

    fn describe() -> Description {
        let summary = "Public keys of receipts and checkpoints";
        Description::new(Self::NAME, "looking", summary).answers(200, "VerificationKeys")
    }

    async fn run(call: &Call) -> Result<Outcome, Problem> {
        let keys = Arc::clone(&call.service.node.verification_keys.borrow());
        let keys = keys.iter().map(VerificationKeyView::from).collect();
        Outcome::json(StatusCode::OK, &KeysAnswer { keys })
    }
}
