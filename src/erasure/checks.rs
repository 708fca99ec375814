//! Checks whether a keyspace or a key version can be erased.

use std::sync::Arc;

use lethe_core::erasure::{Erasure, ErasureKind, ShredLeaf};
use lethe_core::keyring::{KeyError, Keyring, LiveKeyspace, LiveVersion};
use lethe_core::keyspace::{KeyVersion, KeyspaceName};
use lethe_core::refusals::{Refusal, Target};

use super::draft::ErasureDraft;
use super::request::AcceptError;

fn newest(keyspace: &LiveKeyspace) -> Result<&LiveVersion, KeyError> {
    let version = keyspace.versions.last();
    Ok(version.ok_or(KeyError::VersionRetired)?)
}

/// Refuses a keyspace whose erase is accepted.
pub(super) fn check_not_erased(keyring: &Keyring, keyspace: &LiveKeyspace) -> Result<(), KeyError> {
    match keyring.refusals.get(Target::Keyspace(keyspace.id)) {
        None => Ok(()),
        // Its erase is being written.
        Some(Refusal::Pending) => Err(KeyError::Pending),
        Some(_) => Err(KeyError::UnknownKeyspace),
    }
}

/// Refuses the drop of the newest version, and of one that does not exist.
pub(super) fn check_droppable(
    keyspace: &LiveKeyspace,
    version: KeyVersion,
) -> Result<(), AcceptError> {
    if newest(keyspace)?.tree.version == version {
        return Err(AcceptError::NewestVersion);
    }
    let mut versions = keyspace.versions.iter();
    if versions.any(|it| it.tree.version == version) {
        Ok(())
    } else {
        Err(AcceptError::NoVersion)
    }
}

/// A new draft for an erasure that waited for a second operator: its keyspace may have been erased since,
/// and may have new key versions.
pub(super) fn redraft(
    keyring: &Keyring,
    name: &KeyspaceName,
    erasure: Erasure,
) -> Result<ErasureDraft, AcceptError> {
    let keyspace = keyring.keyspace(name)?;
    if keyspace.id != erasure.keyspace {
        return Err(KeyError::UnknownKeyspace.into());
    }
    check_not_erased(keyring, keyspace)?;
    match &erasure.kind {
        ErasureKind::Shred { leaves, .. } if !cover_all_versions(leaves, keyspace) => {
            return Err(AcceptError::Stale);
        }
        ErasureKind::DropVersion(version) => check_droppable(keyspace, *version)?,
        ErasureKind::Shred { .. } | ErasureKind::EraseKeyspace(_) => {}
    }
    Ok(ErasureDraft::new(keyspace, erasure.id, erasure.kind).that_waited())
}

/// Whether there is a leaf for each live version. In a version without one a rewrapped key would survive.
fn cover_all_versions(leaves: &[ShredLeaf], keyspace: &LiveKeyspace) -> bool {
    let covered = |version: &Arc<LiveVersion>| {
        let mut leaves = leaves.iter();
        leaves.any(|leaf| leaf.version == version.tree.version)
    };
    keyspace.versions.iter().all(covered)
}
