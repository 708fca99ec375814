use std::str::FromStr;

use lethe_core::keyspace::KeyspaceName;
use serde::{Deserialize, Deserializer, de::Error};

/// `chat`, `chat-*` or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyspacePattern {
    /// Exactly this keyspace.
    Name(KeyspaceName),
    /// All keyspaces whose names begin with this.
    Prefix(String),
}

impl KeyspacePattern {
    /// Whether it matches every name.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        matches!(self, Self::Prefix(prefix) if prefix.is_empty())
    }

    /// Whether it matches this name.
    #[must_use]
    pub fn matches(&self, keyspace: &KeyspaceName) -> bool {
        match self {
            Self::Name(name) => name == keyspace,
            Self::Prefix(prefix) => keyspace.as_str().starts_with(prefix.as_str()),
        }
    }
}

impl FromStr for KeyspacePattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("'{text}' is no keyspace name or prefix with * behind it");
        match text.strip_suffix('*') {
            // A prefix is what a name can begin with.
            Some("") => Ok(Self::Prefix(String::new())),
            Some(prefix) => match prefix.parse::<KeyspaceName>() {
                Ok(_) => Ok(Self::Prefix(prefix.to_owned())),
                Err(_) => Err(invalid()),
            },
            None => text.parse().map(Self::Name).map_err(|_| invalid()),
        }
    }
}

impl<'de> Deserialize<'de> for KeyspacePattern {
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
    fn names_prefixes_and_all() {
        for (pattern, name, matches) in [
            ("chat", "chat", true),
            ("chat", "chat2", false),
            ("chat-*", "chat-eu", true),
            ("chat-*", "chat", false),
            ("*", "anything", true),
        ] {
            let pattern: KeyspacePattern = pattern.parse().unwrap();
            assert_eq!(
                pattern.matches(&name.parse().unwrap()),
                matches,
                "{pattern:?} {name}"
            );
        }
        for bad in ["", "**", "a*b", "A", "-*"] {
            assert!(bad.parse::<KeyspacePattern>().is_err(), "{bad}");
        }
    }
}
