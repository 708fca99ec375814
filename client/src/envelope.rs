//! The message envelope of `docs/FORMATS.md`: AES-256-GCM bound to keyspace, conversation and
//! message id.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;

use crate::data_key::DataKey;
use crate::names::{Conversation, KeyspaceName, MessageId, WrappedKey};

/// Messages that one data key seals, 2^20. With random 96-bit nonces two of them are equal with
/// a probability below 2^-57 for each data key; NIST SP 800-38D allows 2^32 messages, at 2^-32.
pub const MESSAGES_PER_DATA_KEY: u32 = 1 << 20;

/// Longest message, 16 MiB: a data key then encrypts at most 2^40 blocks.
pub const MAX_PLAINTEXT_BYTES: usize = 16 << 20;

const VERSION: u8 = 1;
const HEADER: usize = 1 + NONCE_LEN;
const TAG: usize = 16;
const DOMAIN: &[u8] = b"lethe/v1/message";

/// A sealed message and the key that opens it, wrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The wrapped key of the message. Lethe unwraps it until it expires or is shredded.
    pub wrapped_key: WrappedKey,
    /// The encrypted message: version, nonce, ciphertext and tag.
    pub bytes: Vec<u8>,
}

/// The place of a message. The message opens with no other one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The keyspace of the data key.
    pub keyspace: KeyspaceName,
    /// The conversation of the message.
    pub conversation: Conversation,
    /// The id of the message, unique in the conversation.
    pub message_id: MessageId,
}

/// Why bytes are not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The message has more than [`MAX_PLAINTEXT_BYTES`] bytes.
    #[error("a message has at most 16 MiB")]
    TooLong,
    /// The bytes are too short for any encrypted message.
    #[error("the envelope is cut short")]
    Truncated,
    /// The version byte is unknown: a later release made it, or it is no envelope.
    #[error("envelope version {0} is not known")]
    UnknownVersion(u8),
    /// The tag is wrong: the message was altered, or belongs to another key or context.
    #[error("the envelope was altered, or is of another message, conversation, keyspace or key")]
    Altered,
    /// The system's random source failed.
    #[error("no randomness")]
    NoRandomness,
}

impl Context {
    /// `"lethe/v1/message" || lp(keyspace) || lp(conversation) || lp(message id)`
    fn associated_data(&self) -> Vec<u8> {
        let fields = [
            self.keyspace.as_str(),
            self.conversation.as_str(),
            self.message_id.as_str(),
        ];
        let mut data = DOMAIN.to_vec();
        for field in fields {
            // At most 256 bytes each.
            data.extend_from_slice(&(field.len() as u16).to_be_bytes());
            data.extend_from_slice(field.as_bytes());
        }
        data
    }
}

pub(crate) fn seal(
    key: &DataKey,
    context: &Context,
    plaintext: &[u8],
) -> Result<Vec<u8>, EnvelopeError> {
    let mut nonce = [0; NONCE_LEN];
    rand::fill(&mut nonce).map_err(|_| EnvelopeError::NoRandomness)?;
    seal_with_nonce(key, context, plaintext, nonce)
}

fn seal_with_nonce(
    key: &DataKey,
    context: &Context,
    plaintext: &[u8],
    nonce: [u8; NONCE_LEN],
) -> Result<Vec<u8>, EnvelopeError> {
    if plaintext.len() > MAX_PLAINTEXT_BYTES {
        return Err(EnvelopeError::TooLong);
    }
    let mut bytes = Vec::with_capacity(HEADER + plaintext.len() + TAG);
    bytes.push(VERSION);
    bytes.extend_from_slice(&nonce);
    bytes.extend_from_slice(plaintext);
    let tag = cipher(key)?
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(context.associated_data()),
            &mut bytes[HEADER..],
        )
        .map_err(|_| EnvelopeError::TooLong)?;
    bytes.extend_from_slice(tag.as_ref());
    Ok(bytes)
}

pub(crate) fn open(
    key: &DataKey,
    context: &Context,
    bytes: &[u8],
) -> Result<Vec<u8>, EnvelopeError> {
    let (nonce, sealed) = split(bytes)?;
    let mut plaintext = sealed.to_vec();
    let length = cipher(key)?
        .open_in_place(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(context.associated_data()),
            &mut plaintext,
        )
        .map_err(|_| EnvelopeError::Altered)?
        .len();
    plaintext.truncate(length);
    Ok(plaintext)
}

fn split(bytes: &[u8]) -> Result<([u8; NONCE_LEN], &[u8]), EnvelopeError> {
    let (version, rest) = bytes.split_first().ok_or(EnvelopeError::Truncated)?;
    if *version != VERSION {
        return Err(EnvelopeError::UnknownVersion(*version));
    }
    let (nonce, sealed) = rest
        .split_first_chunk::<NONCE_LEN>()
        .ok_or(EnvelopeError::Truncated)?;
    if sealed.len() < TAG {
        return Err(EnvelopeError::Truncated);
    }
    if sealed.len() > MAX_PLAINTEXT_BYTES + TAG {
        return Err(EnvelopeError::TooLong);
    }
    Ok((*nonce, sealed))
}

fn cipher(key: &DataKey) -> Result<LessSafeKey, EnvelopeError> {
    // Refuses only keys of another length.
    UnboundKey::new(&AES_256_GCM, key.expose())
        .map(LessSafeKey::new)
        .map_err(|_| EnvelopeError::Altered)
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
