//! What of a keyspace lives, and so can be forgotten.

use std::sync::Arc;

use lethe_core::keyring::{KeyError, Keyring, LiveKeyspace, LiveVersion};
use lethe_core::keyspace::{KeyVersion, KeyspaceName};
use lethe_core::refusals::{Refusal, Target};
use lethe_core::request::{Request, ShredLeaf, Wish};

use super::new_request::Draft;
use super::wanted::NotAccepted;

fn newest(keyspace: &LiveKeyspace) -> Result<&LiveVersion, KeyError> {
    let version = keyspace.versions.last();
    Ok(version.ok_or(KeyError::VersionRetired)?)
}

/// Not one that is being erased.
pub(super) fn newest_lives(keyring: &Keyring, keyspace: &LiveKeyspace) -> Result<(), KeyError> {
    match keyring.refusals.of(Target::Keyspace(keyspace.id)) {
        None => Ok(()),
        // Nobody knows yet whether it is erased.
        Some(Refusal::Pending) => Err(KeyError::Pending),
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

/// A request that waited. Its keyspace may have gone since, and key versions may have come.
pub(super) fn still_to_do(
    keyring: &Keyring,
    name: &KeyspaceName,
    request: Request,
) -> Result<Draft, NotAccepted> {
    let keyspace = keyring.keyspace(name)?;
    if keyspace.id != request.keyspace {
        return Err(KeyError::UnknownKeyspace.into());
    }
    newest_lives(keyring, keyspace)?;
    match &request.wish {
        Wish::Shred { leaves, .. } if !covers(leaves, keyspace) => {
            return Err(NotAccepted::Stale);
        }
        Wish::DropVersion(version) => droppable(keyspace, *version)?,
        Wish::Shred { .. } | Wish::EraseKeyspace(_) => {}
    }
    Ok(Draft::under(keyspace, request.id, request.wish).that_waited())
}

/// A leaf in each version that lives: in one without, a rewrapped key would go on.
fn covers(leaves: &[ShredLeaf], keyspace: &LiveKeyspace) -> bool {
    let covered = |version: &Arc<LiveVersion>| {
        let mut leaves = leaves.iter();
        leaves.any(|leaf| leaf.version == version.tree.version)
    };
    keyspace.versions.iter().all(covered)
}
