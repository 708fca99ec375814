//! A wrapped key: a header that says where it belongs, and the data key under AES-KW (RFC 3394).
//!
//! Text: `lethe:v1:` and 72 characters of base64url without padding, for 54 bytes: version
//! (`u32`), generation (`u16`), expiry in seconds (`u64`), all big-endian, then 40 bytes of AES-KW.

use std::fmt;
use std::str::FromStr;

use aes_kw::KwAes256;
use aes_kw::cipher::KeyInit;
use base64ct::{Base64UrlUnpadded, Encoding};

use crate::grid::Generation;
use crate::keyspace::KeyVersion;
use crate::secret::Secret32;
use crate::time::Expiry;

const PREFIX: &str = "lethe:v1:";
const HEADER: usize = 14;
const BYTES: usize = HEADER + 40;
const TEXT: usize = PREFIX.len() + BYTES / 3 * 4;

/// The header of a wrapped key: which key it belongs to. It is read before it is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// The key version that issued it.
    pub version: KeyVersion,
    /// The conversation's generation in that version.
    pub generation: Generation,
    /// The expiry of the key's bucket.
    pub expiry: Expiry,
}

/// A data key that only Lethe opens; safe to store anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey {
    header: Header,
    wrapped: [u8; 40],
}

/// The wrapped key is not of this service, was altered, or is for something else. The error does not
/// show which, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a wrapped key of this conversation and keyspace")]
pub struct InvalidWrappedKey;

impl WrappedKey {
    /// Wraps `data_key` under a wrapping key derived for exactly this header.
    ///
    /// # Panics
    /// Never: AES-KW refuses only lengths other than these.
    #[must_use]
    pub fn wrap(header: Header, wrapping_key: &Secret32, data_key: &Secret32) -> Self {
        let mut wrapped = [0; 40];
        KwAes256::new(wrapping_key.expose().into())
            .wrap_key(data_key.expose(), &mut wrapped)
            .expect("32 bytes wrap into 40");
        Self { header, wrapped }
    }

    /// Opens it.
    ///
    /// # Errors
    /// [`InvalidWrappedKey`] when the integrity check fails.
    pub fn unwrap(&self, wrapping_key: &Secret32) -> Result<Secret32, InvalidWrappedKey> {
        let cipher = KwAes256::new(wrapping_key.expose().into());
        Secret32::try_filled(|data_key| {
            cipher
                .unwrap_key(&self.wrapped, data_key)
                .map(|_| ())
                .map_err(|_| InvalidWrappedKey)
        })
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> Header {
        self.header
    }

    fn to_bytes(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..4].copy_from_slice(&self.header.version.number().to_be_bytes());
        bytes[4..6].copy_from_slice(&self.header.generation.number().to_be_bytes());
        bytes[6..HEADER].copy_from_slice(&self.header.expiry.as_seconds().to_be_bytes());
        bytes[HEADER..].copy_from_slice(&self.wrapped);
        bytes
    }

    fn from_bytes(bytes: &[u8; BYTES]) -> Option<Self> {
        let (version, rest) = bytes.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (expiry, rest) = rest.split_first_chunk()?;
        let header = Header {
            version: KeyVersion::new(u32::from_be_bytes(*version))?,
            generation: Generation::new(u16::from_be_bytes(*generation)),
            expiry: Expiry::from_seconds(u64::from_be_bytes(*expiry)),
        };
        Some(Self {
            header,
            wrapped: *rest.first_chunk()?,
        })
    }
}

impl fmt::Display for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; BYTES / 3 * 4];
        let encoded =
            Base64UrlUnpadded::encode(&self.to_bytes(), &mut text).map_err(|_| fmt::Error)?;
        write!(f, "{PREFIX}{encoded}")
    }
}

impl FromStr for WrappedKey {
    type Err = InvalidWrappedKey;

    fn from_str(text: &str) -> Result<Self, InvalidWrappedKey> {
        if text.len() != TEXT {
            return Err(InvalidWrappedKey);
        }
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidWrappedKey)?;
        let mut bytes = [0; BYTES];
        Base64UrlUnpadded::decode(encoded, &mut bytes).map_err(|_| InvalidWrappedKey)?;
        Self::from_bytes(&bytes).ok_or(InvalidWrappedKey)
    }
}
