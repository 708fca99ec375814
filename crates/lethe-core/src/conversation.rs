//! The id of a conversation, as the message server chose it.

use std::fmt;

/// Longest id, in bytes.
pub const MAX_BYTES: usize = 256;

/// An opaque id: 1 to 256 bytes of UTF-8 without control characters, compared byte for byte.
/// It is never shown: logs and records have pseudonyms.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ConversationId(Box<str>);

/// Why a text is no conversation id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConversationId {
    /// The id is empty.
    #[error("a conversation id has at least 1 byte")]
    Empty,
    /// The id has more than [`MAX_BYTES`] bytes.
    #[error("a conversation id has at most 256 bytes")]
    TooLong,
    /// The id has a control character (Unicode category Cc).
    #[error("a conversation id has no control characters")]
    ControlCharacter,
}

impl ConversationId {
    /// The id, byte for byte.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The id as the message server wrote it; for answers to that server only.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for ConversationId {
    type Error = InvalidConversationId;

    fn try_from(text: &str) -> Result<Self, InvalidConversationId> {
        if text.is_empty() {
            return Err(InvalidConversationId::Empty);
        }
        if text.len() > MAX_BYTES {
            return Err(InvalidConversationId::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidConversationId::ControlCharacter);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConversationId(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders() {
        assert_eq!(
            ConversationId::try_from(""),
            Err(InvalidConversationId::Empty)
        );
        assert!(ConversationId::try_from("a").is_ok());
        assert!(ConversationId::try_from("é".repeat(128).as_str()).is_ok());
        assert_eq!(
            ConversationId::try_from("a".repeat(257).as_str()),
            Err(InvalidConversationId::TooLong)
        );
        for control in ["\0", "a\nb", "\u{7f}", "\u{85}"] {
            assert_eq!(
                ConversationId::try_from(control),
                Err(InvalidConversationId::ControlCharacter)
            );
        }
    }

    #[test]
    fn no_normalisation() {
        let composed = ConversationId::try_from("\u{e9}").unwrap();
        let decomposed = ConversationId::try_from("e\u{301}").unwrap();
        assert_ne!(composed, decomposed);
    }
}
