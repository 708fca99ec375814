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
    /// The `[[access.client]]` entries, one for each client or group of clients.
    #[serde(default)]
    pub client: Vec<ClientEntry>,
}

impl AccessSection {
    pub(super) fn check(&self) -> Result<(), String> {
        let mut seen = HashSet::new();
        // Two grants for one client are refused, because it is not clear which one was meant.
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
    /// The URI SAN of the client's certificate, or the beginning of it.
    pub spiffe_id: ClientPattern,
    /// The role: what the client may do.
    pub role: Role,
    /// The keyspaces on which it may do that.
    pub keyspaces: Vec<KeyspacePattern>,
}
