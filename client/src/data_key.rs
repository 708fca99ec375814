//! The one secret of this crate.

use std::fmt;

use base64ct::{Base64, Encoding};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// 32 bytes that encrypt messages: boxed, so that a move copies a pointer; wiped on drop; never
/// shown, never cloned, compared in constant time.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct DataKey(Box<[u8; 32]>);

/// Not 32 bytes of base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a data key is 32 bytes of standard base64 with padding")]
pub struct InvalidDataKey;

impl DataKey {
    /// Makes the key in its final place: `fill` writes into the boxed bytes.
    ///
    /// # Errors
    /// The error of `fill`. Nothing secret is left then.
    pub fn filled<E>(fill: impl FnOnce(&mut [u8; 32]) -> Result<(), E>) -> Result<Self, E> {
        let mut key = Self(Box::new([0; 32]));
        fill(&mut key.0)?;
        Ok(key)
    }

    /// Reads standard base64 with padding.
    ///
    /// # Errors
    /// [`InvalidDataKey`] for anything that is not exactly 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, InvalidDataKey> {
        Self::filled(|bytes| match Base64::decode(text, bytes) {
            Ok(decoded) if decoded.len() == 32 => Ok(()),
            _ => Err(InvalidDataKey),
        })
    }

    /// The bytes, for a cipher; do not copy them.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Constant-time equality.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&*self.0, &*other.0).is_ok()
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

/// Decodes straight from the answer's bytes, so that no copy of the text is made.
impl<'de> Deserialize<'de> for DataKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Base64Text;

        impl Visitor<'_> for Base64Text {
            type Value = DataKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("32 bytes of base64")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<DataKey, E> {
                // The text itself never enters the message.
                DataKey::from_base64(text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Base64Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=";

    #[test]
    fn reads_exactly_32_bytes() {
        assert_eq!(DataKey::from_base64(TEXT).unwrap().expose(), &[0xab; 32]);
        let long = Base64::encode_string(&[1; 33]);
        for bad in ["", "AAAA", &TEXT[..43], &TEXT.replace('r', "-"), &long] {
            assert!(DataKey::from_base64(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn neither_debug_nor_errors_show_it() {
        let key = DataKey::from_base64(TEXT).unwrap();
        assert_eq!(format!("{key:?}"), "DataKey(..)");
        let bad = format!("\"{}!\"", &TEXT[..43]);
        let error = serde_json::from_str::<DataKey>(&bad)
            .unwrap_err()
            .to_string();
        assert!(!error.contains(&TEXT[..8]), "{error}");
    }

    #[test]
    fn compares() {
        let key = |byte: u8| {
            DataKey::filled::<()>(|bytes| {
                bytes.fill(byte);
                Ok(())
            })
            .unwrap()
        };
        assert!(key(1).same_as(&key(1)));
        assert!(!key(1).same_as(&key(2)));
    }
}
