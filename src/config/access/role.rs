use serde::Deserialize;

/// The role of a client: which calls it may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Issues, unwraps and rewraps data keys, and shreds conversations.
    MessageServer,
    /// Sets keyspaces, rotates, shreds, erases, approves and rewraps. It gets no plaintext data key.
    Operator,
    /// Reads status, keyspaces, shreds and receipts, and changes nothing.
    Auditor,
}

impl Role {
    /// All roles.
    pub const ANY: &'static [Self] = &[Self::MessageServer, Self::Operator, Self::Auditor];

    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MessageServer => "message-server",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
        }
    }
}
