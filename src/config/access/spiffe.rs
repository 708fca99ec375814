use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, de::Error};

/// `spiffe://trust-domain/path` (SPIFFE-ID specification, section 2), at most 2,048 bytes, with a
/// path: the id of a workload, not of the trust domain. Every request has one, so a clone is cheap.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SpiffeId(Arc<str>);

/// The text is not a SPIFFE id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SPIFFE id of a workload, such as spiffe://example.org/chat")]
pub struct InvalidSpiffeId;

impl SpiffeId {
    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The paths above the id, the nearest first: `spiffe://d/a/`, then `spiffe://d/`.
    pub fn above(&self) -> impl Iterator<Item = &str> {
        // The slashes of the scheme end at 9 (`spiffe://`), and no domain is empty.
        let slashes = self.0.rmatch_indices('/').map(|(at, _)| at + 1);
        slashes.take_while(|end| *end > 9).map(|end| &self.0[..end])
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SpiffeId {
    type Err = InvalidSpiffeId;

    fn from_str(text: &str) -> Result<Self, InvalidSpiffeId> {
        let rest = text.strip_prefix("spiffe://").ok_or(InvalidSpiffeId)?;
        let (domain, path) = rest.split_once('/').ok_or(InvalidSpiffeId)?;
        let in_domain = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
        };
        let in_segment =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let segment = |segment: &str| {
            !segment.is_empty()
                && segment != "."
                && segment != ".."
                && segment.bytes().all(in_segment)
        };
        let valid = text.len() <= 2_048
            && (1..=255).contains(&domain.len())
            && domain.bytes().all(in_domain)
            && path.split('/').all(segment);
        valid.then(|| Self(text.into())).ok_or(InvalidSpiffeId)
    }
}

impl<'de> Deserialize<'de> for SpiffeId {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        String::deserialize(source)?
            .parse()
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict() {
        for good in [
            "spiffe://a/b",
            "spiffe://lethe.dev/message-server",
            "spiffe://a/B_1/c.d",
        ] {
            assert!(good.parse::<SpiffeId>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "spiffe://",
            "spiffe://a",
            "spiffe://a/",
            "spiffe:///b",
            "SPIFFE://a/b",
            "spiffe://A/b",
            "spiffe://a/b/",
            "spiffe://a//b",
            "spiffe://a/../b",
            "spiffe://a/b?c",
            "spiffe://a:1/b",
            "spiffe://a/é",
        ] {
            assert_eq!(bad.parse::<SpiffeId>(), Err(InvalidSpiffeId), "{bad}");
        }
    }

    #[test]
    fn lengths_end_where_the_specification_says() {
        let id = |domain: usize, path: usize| {
            let text = format!("spiffe://{}/{}", "a".repeat(domain), "b".repeat(path));
            text.parse::<SpiffeId>().is_ok()
        };
        assert!(id(255, 1) && !id(256, 1));
        // 9 bytes of scheme, 1 of domain, 1 slash.
        assert!(id(1, 2_037) && !id(1, 2_038));
    }

    #[test]
    fn whole_segments_nearest_first() {
        let id: SpiffeId = "spiffe://d/a/bc".parse().unwrap();
        let above: Vec<_> = id.above().collect();
        assert_eq!(above, ["spiffe://d/a/", "spiffe://d/"]);
    }
}
