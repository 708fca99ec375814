mod client;
mod pattern;
mod role;
mod spiffe;

use std::collections::HashSet;

use serde::Deserialize;

pub use client::ClientPattern;
pub use pattern::KeyspacePattern;
pub use role::Role;
pub use spiffe::SpiffeId;

/// `[access]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessSection {
    /// `[[access.client]]`, one for each.
    #[serde(default)]
    pub client: Vec<ClientEntry>,
}

impl AccessSection {
    pub(super) fn check(&self) -> Result<(), String> {
        let mut seen = HashSet::new();
        // Two grants for one client: which one was meant is not ours to guess.
        match self
            .client
            .iter()
            .find(|entry| !seen.insert(&entry.spiffe_id))
        {
            Some(entry) => Err(format!("access.client names {} twice", entry.spiffe_id)),
            None => Ok(()),
        }
    }
}

/// One client.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientEntry {
    /// The URI SAN of its certificate, or what it begins with.
    pub spiffe_id: ClientPattern,
    /// What it may do.
    pub role: Role,
    /// On which keyspaces.
    pub keyspaces: Vec<KeyspacePattern>,
}
