//! The id of an erasure: a UUID, chosen by the caller or drawn by the service.

use std::fmt;
use std::str::FromStr;

use uuid::fmt::Hyphenated;
use uuid::{Builder, Uuid};

use crate::time::Timestamp;

/// A UUID (RFC 9562), shown as hex in groups of 8, 4, 4, 4 and 12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErasureId(Uuid);

/// Text that is no UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is a UUID: 8-4-4-4-12 hex digits")]
pub struct InvalidErasureId;

impl ErasureId {
    /// From its 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// From random bytes, ordered by time, as indexes like it (UUIDv7).
    #[must_use]
    pub fn ordered(random: [u8; 16], now: Timestamp) -> Self {
        let [_, _, _, _, _, _, random @ ..] = random;
        Self(Builder::from_unix_timestamp_millis(now.as_millis(), &random).into_uuid())
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for ErasureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ErasureId {
    type Err = InvalidErasureId;

    /// Takes either case, as callers' libraries write it, and hyphens only where they belong. `Uuid` itself
    /// takes other forms too.
    fn from_str(text: &str) -> Result<Self, InvalidErasureId> {
        let id: Hyphenated = text.parse().map_err(|_| InvalidErasureId)?;
        Ok(Self(id.into_uuid()))
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
            &text.replace("-7b", "7-b"),
            &text.replace('-', "_"),
            &format!("{{{text}}}"),
            &format!("urn:uuid:{text}"),
            &format!(" {text}"),
        ] {
            assert_eq!(bad.parse::<ErasureId>(), Err(InvalidErasureId), "{bad}");
        }
    }
}
