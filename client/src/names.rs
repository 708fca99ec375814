//! Names that users give. They are checked here, so that a wrong name costs no call.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is no valid name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// A conversation, a message id or a purpose is not valid.
    #[error("{0} is 1 to 256 bytes of UTF-8 without control characters")]
    Id(&'static str),
    /// A retention is not valid.
    #[error("a retention is a whole number and a unit: ms, s, m, h or d")]
    Retention,
    /// The name of a keyspace is not valid.
    #[error("a keyspace name is 1 to 63 of a-z, 0-9 and -, not beginning with -")]
    Keyspace,
    /// A wrapped key is not valid.
    #[error("a wrapped key is printable ASCII beginning with lethe: of at most 1024 bytes")]
    WrappedKey,
}

macro_rules! text_name {
    ($(#[$meta:meta])* $name:ident, $debug:expr, $check:expr) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text, byte for byte as it was given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let check: fn(&str) -> Result<(), InvalidName> = $check;
                check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let debug: fn(&str) -> &str = $debug;
                write!(f, "{}({})", stringify!($name), debug(&self.0))
            }
        }
    };
}

text_name!(
    /// How long messages live at least, such as `1h`: one of those that the keyspace offers.
    Retention,
    |text| text,
    retention
);
text_name!(
    /// An opaque conversation id; `Debug` does not show it, so that it stays out of logs.
    Conversation,
    |_| "..",
    |text| id("a conversation", text)
);
text_name!(
    /// A message's id, unique inside its conversation.
    MessageId,
    |text| text,
    |text| id("a message id", text)
);
text_name!(
    /// Why a key is unwrapped; the service may ask for one and records it.
    Purpose,
    |text| text,
    |text| id("a purpose", text)
);
text_name!(
    /// `[a-z0-9][a-z0-9-]{0,62}`
    KeyspaceName,
    |text| text,
    keyspace
);
text_name!(
    /// A data key wrapped by the service: keep it anywhere, forever. Opaque here: the service
    /// alone judges it, so newer formats pass through older clients.
    WrappedKey,
    |text| text,
    wrapped_key
);

fn retention(text: &str) -> Result<(), InvalidName> {
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_lowercase());
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let units = ["ms", "s", "m", "h", "d"];
    if is_number && units.contains(&&text[number.len()..]) {
        Ok(())
    } else {
        Err(InvalidName::Retention)
    }
}

fn id(what: &'static str, text: &str) -> Result<(), InvalidName> {
    let fits = (1..=256).contains(&text.len()) && !text.chars().any(char::is_control);
    fits.then_some(()).ok_or(InvalidName::Id(what))
}

fn keyspace(text: &str) -> Result<(), InvalidName> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits =
        (1..=63).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(allowed);
    fits.then_some(()).ok_or(InvalidName::Keyspace)
}

fn wrapped_key(text: &str) -> Result<(), InvalidName> {
    let fits = text.len() <= 1024
        && text.starts_with("lethe:")
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then_some(()).ok_or(InvalidName::WrappedKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_their_bytes_and_have_borders() {
        for good in ["a", &"é".repeat(128), "e\u{301}"] {
            assert_eq!(good.parse::<Conversation>().unwrap().as_str(), good);
        }
        for bad in ["", &"a".repeat(257), "a\nb", "\u{85}"] {
            assert!(bad.parse::<Conversation>().is_err(), "{bad:?}");
            assert!(bad.parse::<MessageId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn keyspaces_cannot_leave_their_path_segment() {
        assert!("chat-2".parse::<KeyspaceName>().is_ok());
        for bad in ["", "-a", "A", "a/b", "..", "a%2fb", &"a".repeat(64)] {
            assert!(bad.parse::<KeyspaceName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn wrapped_keys_are_recognisable_text() {
        assert!("lethe:v1:AAAA".parse::<WrappedKey>().is_ok());
        for bad in ["", "vault:v1:AA", "lethe:v1:A A", "lethe:v1:\u{e9}"] {
            assert!(bad.parse::<WrappedKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn debug_hides_the_conversation() {
        let conversation: Conversation = "room of Ann".parse().unwrap();
        assert_eq!(format!("{conversation:?}"), "Conversation(..)");
    }
}
