//! The deployment's own secret, which is in the directory. It authenticates the store's rows, and shows
//! whether the id of a shred is sent again with the same conversation.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::{constant_time, hmac};

use crate::conversation::ConversationId;
use crate::erasure::IdempotencyTag;
use crate::receipt::ErasureId;
use crate::secret::Secret32;

/// A column of a row, as it is authenticated.
#[derive(Debug, Clone, Copy)]
pub enum Column<'a> {
    /// SQL NULL.
    Null,
    /// A whole number.
    Integer(i64),
    /// Text in UTF-8.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

/// HMAC-SHA-256 of a row.
pub type RowMac = [u8; 32];

/// The key of a deployment. It never changes.
#[derive(Clone)]
pub struct DeploymentKey(Arc<hmac::Key>);

impl DeploymentKey {
    /// From the 32 random bytes in the directory.
    #[must_use]
    pub fn new(secret: &Secret32) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
        Self(Arc::new(key))
    }

    /// `HMAC-SHA-256(key, "lethe/v1/row" || len(table) as u16 || table || columns)`. A column is its
    /// kind (0 null, 1 integer, 2 text, 3 blob), then 8 bytes of an integer, or the length as u32
    /// and the bytes. All numbers are big-endian.
    #[must_use]
    pub fn row_mac(&self, table: &str, columns: &[Column<'_>]) -> RowMac {
        let mut mac = [0; 32];
        mac.copy_from_slice(self.sign(table, columns).as_ref());
        mac
    }

    /// Whether `mac` is that of the row.
    #[must_use]
    pub fn is_authentic(&self, table: &str, columns: &[Column<'_>], mac: &[u8]) -> bool {
        let expected = self.sign(table, columns);
        constant_time::verify_slices_are_equal(expected.as_ref(), mac).is_ok()
    }

    fn sign(&self, table: &str, columns: &[Column<'_>]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"lethe/v1/row");
        context.update(&(table.len() as u16).to_be_bytes());
        context.update(table.as_bytes());
        for column in columns {
            column.add_to(&mut context);
        }
        context.sign()
    }

    /// First 16 bytes of `HMAC-SHA-256(key, "lethe/v1/request-tag" || request id || conversation)`.
    #[must_use]
    pub fn idempotency_tag(&self, id: ErasureId, conversation: &ConversationId) -> IdempotencyTag {
        request_tag(&self.0, id, conversation)
    }

    /// The salt of a shred's commitment: `HMAC-SHA-256(key, "lethe/v1/request-salt" || request id ||
    /// conversation)`. It is in no row, and can be computed as long as the deployment exists.
    #[must_use]
    pub fn commitment_salt(&self, id: ErasureId, conversation: &ConversationId) -> Secret32 {
        request_salt(&self.0, id, conversation)
    }
}

impl<'a> Column<'a> {
    /// Bytes, or no value.
    #[must_use]
    pub fn blob(bytes: Option<&'a [u8]>) -> Self {
        bytes.map_or(Self::Null, Self::Blob)
    }

    fn add_to(&self, context: &mut hmac::Context) {
        let (kind, bytes): (u8, &[u8]) = match self {
            Self::Null => return context.update(&[0]),
            Self::Integer(number) => {
                context.update(&[1]);
                return context.update(&number.to_be_bytes());
            }
            Self::Text(text) => (2, text.as_bytes()),
            Self::Blob(bytes) => (3, bytes),
        };
        context.update(&[kind]);
        context.update(&(bytes.len() as u32).to_be_bytes());
        context.update(bytes);
    }
}

/// Compares two keys in constant time, by their MAC of an empty row.
impl PartialEq for DeploymentKey {
    fn eq(&self, other: &Self) -> bool {
        self.is_authentic("", &[], &other.row_mac("", &[]))
    }
}

impl Eq for DeploymentKey {}

impl fmt::Debug for DeploymentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeploymentKey(..)")
    }
}

/// The tag under either key: requests of earlier releases used the address key of a version.
pub(crate) fn request_tag(
    key: &hmac::Key,
    id: ErasureId,
    conversation: &ConversationId,
) -> IdempotencyTag {
    let mut first = [0; 16];
    let tag = of_request(key, b"lethe/v1/request-tag", id, conversation);
    first.copy_from_slice(&tag.as_ref()[..16]);
    IdempotencyTag::from_bytes(first)
}

/// The salt under either key.
pub(crate) fn request_salt(
    key: &hmac::Key,
    id: ErasureId,
    conversation: &ConversationId,
) -> Secret32 {
    let salt = of_request(key, b"lethe/v1/request-salt", id, conversation);
    Secret32::filled(|bytes| bytes.copy_from_slice(salt.as_ref()))
}

fn of_request(
    key: &hmac::Key,
    label: &[u8],
    id: ErasureId,
    conversation: &ConversationId,
) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(label);
    context.update(id.as_bytes());
    context.update(conversation.as_bytes());
    context.sign()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_row_counts() {
        let key = DeploymentKey::new(&Secret32::filled(|bytes| bytes.fill(7)));
        let row = [Column::Integer(1), Column::Text("a"), Column::Null];
        let mac = key.row_mac("t", &row);
        assert!(key.is_authentic("t", &row, &mac));
        let others: [&[Column<'_>]; 6] = [
            &[Column::Integer(2), Column::Text("a"), Column::Null],
            &[Column::Integer(1), Column::Blob(b"a"), Column::Null],
            &[Column::Integer(1), Column::Text("a")],
            &[Column::Integer(1), Column::Text("a"), Column::Integer(0)],
            &[Column::Text("a"), Column::Integer(1), Column::Null],
            &[Column::Integer(1), Column::Text("a"), Column::Blob(b"")],
        ];
        for other in others {
            assert!(!key.is_authentic("t", other, &mac), "{other:?}");
        }
        assert!(!key.is_authentic("u", &row, &mac));
        assert!(!key.is_authentic("t", &row, &mac[..31]));
        assert!(!key.is_authentic("t", &row, b""));
        assert_eq!(format!("{key:?}"), "DeploymentKey(..)");
    }
}
