//! What of a keyspace lives, and so can be forgotten.

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

/// Not one that is being erased.
pub(super) fn check_not_erased(keyring: &Keyring, keyspace: &LiveKeyspace) -> Result<(), KeyError> {
    match keyring.refusals.of(Target::Keyspace(keyspace.id)) {
        None => Ok(()),
        // Nobody knows yet whether it is erased.
        Some(Refusal::Pending) => Err(KeyError::Pending),
        Some(_) => Err(KeyError::UnknownKeyspace),
    }
}

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

/// An erasure that waited. Its keyspace may have gone since, and key versions may have come.
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
        ErasureKind::Shred { leaves, .. } if !covers(leaves, keyspace) => {
            return Err(AcceptError::Stale);
        }
        ErasureKind::DropVersion(version) => check_droppable(keyspace, *version)?,
        ErasureKind::Shred { .. } | ErasureKind::EraseKeyspace(_) => {}
    }
    Ok(ErasureDraft::under(keyspace, erasure.id, erasure.kind).that_waited())
}

/// A leaf in each version that lives: in one without, a rewrapped key would go on.
fn covers(leaves: &[ShredLeaf], keyspace: &LiveKeyspace) -> bool {
    let covered = |version: &Arc<LiveVersion>| {
        let mut leaves = leaves.iter();
        leaves.any(|leaf| leaf.version == version.tree.version)
    };
    keyspace.versions.iter().all(covered)
}
