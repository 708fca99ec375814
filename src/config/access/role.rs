use serde::Deserialize;

/// What a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Issues and unwraps.
    MessageServer,
    /// Sets policies.
    Operator,
    /// Reads.
    Auditor,
}

impl Role {
    /// All.
    pub const ANY: &'static [Self] = &[Self::MessageServer, Self::Operator, Self::Auditor];

    /// As the configuration names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MessageServer => "message-server",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
        }
    }
}
