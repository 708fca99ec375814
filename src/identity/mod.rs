//! Who may do what: a client is its SPIFFE id, has one role, and is granted keyspaces.

mod gate;
pub mod tls;

use std::collections::HashMap;

pub use gate::{Gate, Rules};
use lethe_core::keyspace::KeyspaceName;

use crate::config::{AccessSection, ClientPattern, KeyspacePattern};
pub use crate::config::{Role, SpiffeId};

/// What one client may do.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The client's role.
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

    /// Whether all keyspaces are granted: what concerns the whole deployment needs that.
    #[must_use]
    pub fn allows_all(&self) -> bool {
        self.keyspaces.iter().any(KeyspacePattern::is_all)
    }
}

/// The grants of all clients.
#[derive(Debug, Clone, Default)]
pub struct Access {
    ids: HashMap<SpiffeId, Grant>,
    /// Grants for all ids below a path, by that path.
    below: HashMap<Box<str>, Grant>,
}

impl Access {
    /// From the configuration, which names no client twice.
    #[must_use]
    pub fn new(section: &AccessSection) -> Self {
        let mut access = Self::default();
        for entry in &section.client {
            let grant = Grant {
                role: entry.role,
                keyspaces: entry.keyspaces.clone(),
            };
            match &entry.spiffe_id {
                ClientPattern::Id(id) => access.ids.insert(id.clone(), grant),
                ClientPattern::Below(prefix) => access.below.insert(prefix.clone(), grant),
            };
        }
        access
    }

    /// What a client may do; none for a stranger. The nearest entry alone counts: the id itself
    /// before a pattern, a longer pattern before a shorter one.
    #[must_use]
    pub fn grant(&self, client: &SpiffeId) -> Option<&Grant> {
        self.ids.get(client).or_else(|| {
            // Without patterns one look-up is enough for a stranger.
            let mut above = client.above().filter(|_| !self.below.is_empty());
            above.find_map(|prefix| self.below.get(prefix))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClientEntry;

    #[test]
    fn the_nearest_entry_alone_counts() {
        let entry = |id: &str, role| ClientEntry {
            spiffe_id: id.parse().unwrap(),
            role,
            keyspaces: Vec::new(),
        };
        let access = Access::new(&AccessSection {
            client: vec![
                entry("spiffe://d/*", Role::Auditor),
                entry("spiffe://d/a/b/*", Role::MessageServer),
                entry("spiffe://d/a/b/c", Role::Operator),
            ],
        });
        for (id, role) in [
            ("spiffe://d/x", Some(Role::Auditor)),
            ("spiffe://d/a/b", Some(Role::Auditor)),
            ("spiffe://d/a/bb/c", Some(Role::Auditor)),
            ("spiffe://d/a/b/x", Some(Role::MessageServer)),
            ("spiffe://d/a/b/x/y", Some(Role::MessageServer)),
            ("spiffe://d/a/b/c", Some(Role::Operator)),
            ("spiffe://d/a/b/c/d", Some(Role::MessageServer)),
            ("spiffe://e/a", None),
            ("spiffe://dd/a", None),
        ] {
            let grant = access.grant(&id.parse().unwrap());
            assert_eq!(grant.map(|grant| grant.role), role, "{id}");
        }
    }
}
