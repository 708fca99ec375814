use std::str::FromStr;

use serde::{Deserialize, Deserializer, de::Error};

use super::spiffe::{InvalidSpiffeId, SpiffeId};

/// `spiffe://example.org/chat`, or `spiffe://example.org/chat/*`: all ids below it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ClientPattern {
    /// Exactly this SPIFFE id.
    Id(SpiffeId),
    /// All ids that begin with this. It ends with a slash, so that whole segments are compared.
    Below(Box<str>),
}

impl FromStr for ClientPattern {
    type Err = InvalidSpiffeId;

    fn from_str(text: &str) -> Result<Self, InvalidSpiffeId> {
        let Some(prefix) = text.strip_suffix('*') else {
            return text.parse().map(Self::Id);
        };
        // A prefix is what an id can begin with.
        let id = format!("{prefix}a");
        id.parse::<SpiffeId>()?;
        match prefix.ends_with('/') {
            true => Ok(Self::Below(prefix.into())),
            false => Err(InvalidSpiffeId),
        }
    }
}

impl std::fmt::Display for ClientPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Below(prefix) => write!(f, "{prefix}*"),
        }
    }
}

impl<'de> Deserialize<'de> for ClientPattern {
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
    fn ids_and_all_below_one() {
        for good in ["spiffe://d/a", "spiffe://d/*", "spiffe://d/a/*"] {
            let pattern: ClientPattern = good.parse().unwrap();
            assert_eq!(pattern.to_string(), good);
        }
        for bad in [
            "",
            "*",
            "spiffe://*",
            "spiffe:///*",
            "spiffe://d*",
            "spiffe://d/a*",
            "spiffe://d/*/a",
            "spiffe://d/**",
            "spiffe://d//*",
            "spiffe://d/../*",
            "https://d/*",
        ] {
            assert!(bad.parse::<ClientPattern>().is_err(), "{bad}");
        }
    }
}
