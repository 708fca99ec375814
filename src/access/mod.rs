//! Who may do what: a client is its SPIFFE id, has one role, and is granted keyspaces.

mod gate;
mod pattern;
mod spiffe;

use std::collections::HashMap;

use lethe_core::keyspace::KeyspaceName;
use serde::Deserialize;

pub use gate::{Gate, Rules};
pub use pattern::KeyspacePattern;
pub use spiffe::SpiffeId;

use crate::config::AccessSection;

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
}

/// What one client may do.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Its role.
    pub role: Role,
    keyspaces: Vec<KeyspacePattern>,
}

impl Grant {
    /// Whether a keyspace is granted.
    #[must_use]
    pub fn allows(&self, keyspace: &KeyspaceName) -> bool {
        self.keyspaces
            .iter()
            .any(|pattern| pattern.matches(keyspace))
    }
}

/// All clients.
#[derive(Debug, Clone)]
pub struct Access(HashMap<SpiffeId, Grant>);

impl Access {
    /// From the configuration, which names no client twice.
    #[must_use]
    pub fn new(section: &AccessSection) -> Self {
        let grant = |entry: &crate::config::ClientEntry| {
            let grant = Grant {
                role: entry.role,
                keyspaces: entry.keyspaces.clone(),
            };
            (entry.spiffe_id.clone(), grant)
        };
        Self(section.client.iter().map(grant).collect())
    }

    /// What a client may do; none for a stranger.
    #[must_use]
    pub fn grant(&self, client: &SpiffeId) -> Option<&Grant> {
        self.0.get(client)
    }
}
