//! The id of an erasure: a UUID, chosen by the caller or drawn by the service.

use std::fmt;
use std::str::FromStr;

use crate::time::Timestamp;

/// 16 bytes, shown as a UUID (RFC 9562): hex in groups of 8, 4, 4, 4 and 12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErasureId([u8; 16]);

/// Text that is no UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is a UUID: 8-4-4-4-12 hex digits")]
pub struct InvalidErasureId;

impl ErasureId {
    /// From its 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// From random bytes, ordered by time, as indexes like it (RFC 9562, UUIDv7).
    #[must_use]
    pub fn ordered(random: [u8; 16], now: Timestamp) -> Self {
        let mut bytes = random;
        bytes[..6].copy_from_slice(&now.as_millis().to_be_bytes()[2..]);
        bytes[6] = 0x70 | bytes[6] & 0x0f;
        bytes[8] = 0x80 | bytes[8] & 0x3f;
        Self(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for ErasureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for ErasureId {
    type Err = InvalidErasureId;

    /// Takes either case, as callers' libraries write it.
    fn from_str(text: &str) -> Result<Self, InvalidErasureId> {
        let text = text.to_ascii_lowercase();
        let digits = text.replace('-', "");
        let number = u128::from_str_radix(&digits, 16).map_err(|_| InvalidErasureId)?;
        let id = Self(number.to_be_bytes());
        // The hyphens where they belong, and no sign.
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(InvalidErasureId)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordered_ids_follow_the_time_and_are_of_version_7() {
        let id = |random, millis| ErasureId::ordered([random; 16], Timestamp::from_millis(millis));
        assert!(id(0xff, 1) < id(0, 2));
        assert_eq!(
            id(0xff, 0x0190_f2a4_7c1e).to_string(),
            "0190f2a4-7c1e-7fff-bfff-ffffffffffff"
        );
    }

    #[test]
    fn only_uuids() {
        let text = "0190f2a4-7c1e-7b7d-8c7b-0d6f1f2e3a4b";
        let id: ErasureId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(text.to_uppercase().parse(), Ok(id));
        let bare = text.replace('-', "");
        for bad in [
            "",
            "0",
            bare.as_str(),
            &text[1..],
            &format!("{text}0"),
            &text.replace("01", "+1"),
        ] {
            assert_eq!(bad.parse::<ErasureId>(), Err(InvalidErasureId), "{bad}");
        }
    }
}
