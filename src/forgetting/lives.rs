//! What of a keyspace lives, and so can be forgotten.

use std::sync::Arc;

use lethe_core::keyring::{KeyError, Keyring, LiveKeyspace, LiveVersion};
use lethe_core::keyspace::KeyVersion;
use lethe_core::refusals::Target;
use lethe_core::request::ShredLeaf;

use super::wanted::NotAccepted;

pub(super) fn newest(keyspace: &LiveKeyspace) -> Result<&LiveVersion, KeyError> {
    let version = keyspace.versions.last();
    Ok(version.ok_or(KeyError::VersionRetired)?)
}

/// Not one that is being erased.
pub(super) fn newest_lives(keyring: &Keyring, keyspace: &LiveKeyspace) -> Result<(), KeyError> {
    match keyring.refusals.of(Target::Keyspace(keyspace.id)) {
        None => Ok(()),
        Some(_) => Err(KeyError::UnknownKeyspace),
    }
}

pub(super) fn droppable(keyspace: &LiveKeyspace, version: KeyVersion) -> Result<(), NotAccepted> {
    if newest(keyspace)?.tree.version == version {
        return Err(NotAccepted::NewestVersion);
    }
    let mut versions = keyspace.versions.iter();
    if versions.any(|it| it.tree.version == version) {
        Ok(())
    } else {
        Err(NotAccepted::NoVersion)
    }
}

/// A leaf in each version that lives: in one without, a rewrapped key would go on.
pub(super) fn covers(leaves: &[ShredLeaf], keyspace: &LiveKeyspace) -> bool {
    let covered = |version: &Arc<LiveVersion>| {
        let mut leaves = leaves.iter();
        leaves.any(|leaf| leaf.version == version.tree.version)
    };
    keyspace.versions.iter().all(covered)
}
