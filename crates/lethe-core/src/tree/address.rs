//! Addresses of the leaves of conversations, and pseudonyms for records.

use aws_lc_rs::hmac;
use base64ct::{Base64UrlUnpadded, Encoding};

use crate::approval::{ApprovalId, DigestKey};
use crate::conversation::ConversationId;
use crate::deployment_key::{request_salt, request_tag};
use crate::erasure::IdempotencyTag;
use crate::grid::Generation;
use crate::receipt::ErasureId;
use crate::secret::Secret32;

/// The address of a conversation key: which leaf of the tree it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(u64);

impl Address {
    /// From its 64 bits; the first bit is the first step from the top.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The 64 bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The step taken at `level`, 0 at the top.
    pub(super) const fn bit(self, level: u8) -> u8 {
        (self.0 >> (super::DEPTH - 1 - level) & 1) as u8
    }
}

impl std::fmt::Debug for Address {
    /// Shows nothing, because an address identifies a conversation.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Address(..)")
    }
}

/// Identifies a conversation in audit records. Whoever has the version's address key can test a guessed
/// id. When the version is dropped nobody can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pseudonym([u8; 16]);

impl Pseudonym {
    /// From its 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl std::fmt::Display for Pseudonym {
    /// 22 characters of base64url without padding.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = [0; 22];
        let text = Base64UrlUnpadded::encode(&self.0, &mut text).map_err(|_| std::fmt::Error)?;
        f.write_str(text)
    }
}

/// Maps conversations to addresses by a key, so that the database alone does not show which
/// conversations were shredded, and nobody can provoke a collision.
pub struct AddressKey(hmac::Key);

impl AddressKey {
    /// From the version's 32 random bytes.
    #[must_use]
    pub fn new(secret: &Secret32) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose()))
    }

    /// First 64 bits of `HMAC-SHA-256(key, "lethe/v1/address" || len(conversation) as u16 ||
    /// conversation || generation as u16)`, integers big-endian.
    #[must_use]
    pub fn address(&self, conversation: &ConversationId, generation: Generation) -> Address {
        let id = conversation.as_bytes();
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"lethe/v1/address");
        context.update(&(id.len() as u16).to_be_bytes());
        context.update(id);
        context.update(&generation.number().to_be_bytes());
        let tag = context.sign();
        let mut first = [0; 8];
        first.copy_from_slice(&tag.as_ref()[..8]);
        Address(u64::from_be_bytes(first))
    }

    /// As [`crate::deployment_key::DeploymentKey::idempotency_tag`], of requests that were accepted
    /// before the deployment had a key.
    #[must_use]
    pub fn idempotency_tag(&self, id: ErasureId, conversation: &ConversationId) -> IdempotencyTag {
        request_tag(&self.0, id, conversation)
    }

    /// As [`crate::deployment_key::DeploymentKey::commitment_salt`], of requests that were accepted
    /// before the deployment had a key.
    #[must_use]
    pub fn commitment_salt(&self, id: ErasureId, conversation: &ConversationId) -> Secret32 {
        request_salt(&self.0, id, conversation)
    }

    /// The key of an approval's digest: `HMAC-SHA-256(key, "lethe/v1/approval-digest-key" || approval
    /// id)`.
    #[must_use]
    pub fn digest_key(&self, approval: ApprovalId) -> DigestKey {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"lethe/v1/approval-digest-key");
        context.update(approval.as_bytes());
        let mut key = [0; 32];
        key.copy_from_slice(context.sign().as_ref());
        DigestKey::from_bytes(key)
    }

    /// First 16 bytes of `HMAC-SHA-256(key, "lethe/v1/pseudonym" || day as u32 || conversation)`;
    /// `day` counts from the Unix epoch.
    #[must_use]
    pub fn pseudonym(&self, conversation: &ConversationId, day: u32) -> Pseudonym {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"lethe/v1/pseudonym");
        context.update(&day.to_be_bytes());
        context.update(conversation.as_bytes());
        let mut first = [0; 16];
        first.copy_from_slice(&context.sign().as_ref()[..16]);
        Pseudonym(first)
    }
}
