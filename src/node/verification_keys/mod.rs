//! The public keys of receipts and checkpoints as text: what `lethe keys export` prints, what
//! `pki/verify.pub` holds, and what `lethe receipt verify` reads.
//!
//! Each key is PEM (RFC 7468, RFC 8410) behind a comment that says what it signs, and its id:
//!
//! ```text
//! # receipt 0f1e2d3c4b5a69788796a5b4c3d2e1f0
//! -----BEGIN PUBLIC KEY-----
//! MCowBQYDK2VwAyEA...
//! -----END PUBLIC KEY-----
//! ```
//!
//! Behind the name of a key that took over from another one stands `# succeeds ID SIGNATURE`: the id
//! of that one, and its endorsement in base64.

use std::fmt::Write;
use std::str::FromStr;

use base64ct::{Base64, Encoding};
use lethe_core::identity::HsmKeyId;
use lethe_core::ports::{SigningPurpose, VerificationKey};
use lethe_core::receipt::{InvalidReceipt, Receipt};
use lethe_core::succession::{self, InvalidSuccession, PublishedKey, Succession};

const SUCCEEDS: &str = "# succeeds ";
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

/// DER in front of an Ed25519 public key: SubjectPublicKeyInfo, RFC 8410 section 4.
const ED25519_SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// What a key signs, by name.
#[must_use]
pub const fn purpose_name(purpose: SigningPurpose) -> &'static str {
    match purpose {
        SigningPurpose::Receipt => "receipt",
        SigningPurpose::Checkpoint => "checkpoint",
    }
}

/// The purpose of a name.
#[must_use]
pub fn purpose_of(name: &str) -> Option<SigningPurpose> {
    [SigningPurpose::Receipt, SigningPurpose::Checkpoint]
        .into_iter()
        .find(|purpose| purpose_name(*purpose) == name)
}

/// One key as PEM, with a line end behind it.
#[must_use]
pub fn pem(public_key: &[u8; 32]) -> String {
    let der = [ED25519_SPKI.as_slice(), public_key].concat();
    format!("{BEGIN}\n{}\n{END}\n", Base64::encode_string(&der))
}

/// All keys, each behind its comment.
#[must_use]
pub fn to_text(keys: &[VerificationKey]) -> String {
    let keys: Vec<_> = keys.iter().cloned().map(PublishedKey::from).collect();
    published_text(&keys)
}

/// The same with their succession.
#[must_use]
pub fn published_text(keys: &[PublishedKey]) -> String {
    let mut text = String::new();
    for PublishedKey { key, succession } in keys {
        // Writing into a String does not fail.
        let _ = writeln!(text, "# {} {}", purpose_name(key.purpose), key.id);
        if let Some(it) = succession {
            let signature = Base64::encode_string(&it.endorsement);
            let _ = writeln!(text, "{SUCCEEDS}{} {signature}", it.predecessor);
        }
        text.push_str(&pem(&key.public_key));
    }
    text
}

/// Why a text holds no keys. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    /// The text has no key.
    #[error("no public key in it")]
    Empty,
    /// A key has no comment that says what it signs.
    #[error(
        "the key on line {0} does not say what it signs: `# receipt <id>` belongs above it, as `lethe keys export` prints it"
    )]
    Unnamed(usize),
    /// A line is neither a comment of ours nor PEM of a public key.
    #[error("line {0} belongs to no public key")]
    Line(usize),
    /// A comment does not say what the next key signs.
    #[error(
        "the comment on line {0} must be `# receipt <id>` or `# checkpoint <id>`, the key below it"
    )]
    Comment(usize),
    /// The PEM is damaged, or is of something else.
    #[error("the key that begins on line {0} is no Ed25519 public key")]
    Key(usize),
    /// Two keys have the same id.
    #[error("the key of line {0} has the id of one above it")]
    Twice(usize),
    /// A key's endorsement by the key before is not valid.
    #[error(transparent)]
    Succession(#[from] InvalidSuccession),
}

/// Keys that were read from a text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerificationKeys {
    /// The keys, each with what it signs and its id.
    pub named: Vec<VerificationKey>,
    /// The succession of each key that took over from another one, by the id of the later key.
    pub successions: Vec<(HsmKeyId, Succession)>,
}

impl VerificationKeys {
    /// Checks a receipt by the key that it names.
    ///
    /// # Errors
    /// As [`Receipt::verify`].
    pub fn verify(&self, receipt: &Receipt) -> Result<(), InvalidReceipt> {
        receipt.verify(&self.named)
    }

    /// Keys with their comment and succession.
    #[must_use]
    pub fn published(&self) -> Vec<PublishedKey> {
        let succession = |id| {
            let mut of = self.successions.iter().filter(|(later, _)| *later == id);
            of.next().map(|(_, succession)| *succession)
        };
        let published = |key: &VerificationKey| PublishedKey {
            key: key.clone(),
            succession: succession(key.id),
        };
        self.named.iter().map(published).collect()
    }

    fn names(&self, id: HsmKeyId) -> bool {
        self.named.iter().any(|key| key.id == id)
    }
}

impl FromStr for VerificationKeys {
    type Err = InvalidKeys;

    /// Reads what [`to_text`] writes. Anything else is refused: a key that is passed over silently
    /// would be missed only when it is needed.
    fn from_str(text: &str) -> Result<Self, InvalidKeys> {
        let mut keys = Self::default();
        let mut lines = (1..).zip(text.lines().map(str::trim_end));
        let (mut comment, mut before) = (None, None);
        while let Some((number, line)) = lines.next() {
            match (line, comment.as_ref()) {
                ("", None) => {}
                (BEGIN, None) => return Err(InvalidKeys::Unnamed(number)),
                (BEGIN, Some(&(purpose, id))) => {
                    let body = lines.by_ref().map(|(_, line)| line);
                    let public_key = public_key(body).ok_or(InvalidKeys::Key(number))?;
                    if keys.names(id) {
                        return Err(InvalidKeys::Twice(number));
                    }
                    keys.named.push(VerificationKey {
                        id,
                        purpose,
                        public_key,
                    });
                    keys.successions
                        .extend(before.take().map(|before| (id, before)));
                    comment = None;
                }
                (_, Some(_)) if before.is_none() && line.starts_with(SUCCEEDS) => {
                    before = Some(succession(line).ok_or(InvalidKeys::Comment(number))?);
                }
                (_, None) if line.starts_with('#') => {
                    comment = Some(name(line).ok_or(InvalidKeys::Comment(number))?);
                }
                (_, Some(_)) => return Err(InvalidKeys::Comment(number - 1)),
                (_, None) => return Err(InvalidKeys::Line(number)),
            }
        }
        match (comment, keys.named.is_empty()) {
            (Some(_), _) => Err(InvalidKeys::Comment(text.lines().count())),
            (None, true) => Err(InvalidKeys::Empty),
            (None, false) => {
                succession::check(&keys.published())?;
                Ok(keys)
            }
        }
    }
}

/// `# receipt <id>`
fn name(comment: &str) -> Option<(SigningPurpose, HsmKeyId)> {
    let (purpose, id) = comment.strip_prefix("# ")?.split_once(' ')?;
    let parsed: HsmKeyId = id.parse().ok()?;
    // One spelling, as in receipts.
    (parsed.to_string() == id).then_some((purpose_of(purpose)?, parsed))
}

/// `# succeeds <id> <signature>`
fn succession(comment: &str) -> Option<Succession> {
    let (id, signature) = comment.strip_prefix(SUCCEEDS)?.split_once(' ')?;
    Some(Succession {
        predecessor: id.parse().ok()?,
        endorsement: Base64::decode_vec(signature).ok()?.try_into().ok()?,
    })
}

/// The lines behind `BEGIN`, up to and with `END`; openssl breaks them at 64 characters, we do not.
fn public_key<'a>(lines: impl Iterator<Item = &'a str>) -> Option<[u8; 32]> {
    let mut base64 = String::new();
    for line in lines {
        if line == END {
            let der = Base64::decode_vec(&base64).ok()?;
            return der.strip_prefix(&ED25519_SPKI)?.try_into().ok();
        }
        base64.push_str(line);
        if base64.len() > 1_000 {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests;
