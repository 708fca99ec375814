//! What the directory commits to: the other rows of the store, as each batch leaves them.

use super::sign::Unsigned;
use super::{BatchError, Current, Halt, Ports};
use crate::clock::Mark;
use crate::deployment_key::DeploymentKey;
use crate::directory::{Commitments, Directory, keyspaces_digest};
use crate::erasure::{AcceptedErasure, ErasureNumber};
use crate::keyspace::KeyVersion;
use crate::ports::{Fulfilled, KeyspaceChange, KeyspaceRow};
use crate::secret::Secret32;
use crate::time::Timestamp;

/// How a batch changes the rules by which keys are issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IssueRules {
    /// It does not change them.
    #[default]
    Same,
    /// It changes them. The new times (`leases_until`, `expiries_until`) count from this time. They have to be
    /// adjusted when it is known until when keys were issued by the old rules.
    ChangeFrom(Timestamp),
    /// The times are adjusted.
    TimesAdjusted,
}

/// What a batch changes, besides trees.
pub(super) struct Change<'a> {
    pub(super) keyspaces: &'a [KeyspaceChange],
    pub(super) fulfilled: Option<Fulfilled>,
    pub(super) rules: IssueRules,
    pub(super) mark: &'a Mark,
}

/// Writes to the directory what the rows will be after the batch. The first batch of a deployment begins the
/// commitments, and so does the first batch after an upgrade from a release without them. Returns the key if
/// this batch begins them.
pub(super) async fn commit_to(
    ports: &Ports,
    current: &mut Current,
    change: Change<'_>,
) -> Result<Option<DeploymentKey>, BatchError> {
    let Change {
        keyspaces: changes,
        fulfilled,
        rules,
        mark,
    } = change;
    let sequence = current.sequence + 1;
    let begins = current.directory.commitments().is_none();
    let mut digest = None;
    if begins || !changes.is_empty() {
        let mut rows = checked_keyspaces(ports, &current.directory).await?;
        if begins {
            let secret = Secret32::try_filled(|bytes| ports.entropy.fill(bytes))?;
            let up_to = ports.store.fulfilled_up_to().await?;
            let first = Commitments::first(secret, up_to, &rows);
            *current.directory.commitments_mut() = Some(first);
        }
        for change in changes {
            apply(&mut rows, change);
        }
        digest = Some(keyspaces_digest(&rows));
    }
    if let Some(commitments) = current.directory.commitments_mut() {
        if let Some(fulfilled) = fulfilled {
            commitments.fulfilled = fulfilled.last;
            commitments.batch = Some((sequence, fulfilled));
        }
        commitments.keyspaces = digest.unwrap_or(commitments.keyspaces);
        commitments.changing_since = match rules {
            IssueRules::Same => commitments.changing_since,
            IssueRules::ChangeFrom(time) => commitments.changing_since.or(Some(time)),
            IssueRules::TimesAdjusted => None,
        };
        commitments.time = mark.high_water.unwrap_or(commitments.time);
    }
    let commitments = current.directory.commitments().filter(|_| begins);
    Ok(commitments.map(Commitments::key))
}

/// The keyspaces of the store, if the directory commits to them.
///
/// # Errors
/// [`Halt::Altered`].
pub async fn checked_keyspaces(
    ports: &Ports,
    directory: &Directory,
) -> Result<Vec<KeyspaceRow>, BatchError> {
    let rows = ports.store.keyspaces().await?;
    check_keyspaces(&rows, directory)?;
    Ok(rows)
}

/// Checks that the directory commits to these keyspaces.
///
/// # Errors
/// [`Halt::Altered`].
pub fn check_keyspaces(rows: &[KeyspaceRow], directory: &Directory) -> Result<(), Halt> {
    if directory.agrees_with(rows) {
        Ok(())
    } else {
        Err(Halt::Altered("keyspace, key_version".into()))
    }
}

/// Checks that these are the next erasures, without a gap.
pub(super) fn check_next(directory: &Directory, erasures: &[AcceptedErasure]) -> Result<(), Halt> {
    let Some(first) = erasures.first() else {
        return Ok(());
    };
    let next = directory
        .commitments()
        .map_or(first.number.number(), |it| it.fulfilled.number() + 1);
    check_numbers(erasures, ErasureNumber::new(next))
}

/// Checks that the numbers are consecutive from `first` on.
pub(super) fn check_numbers(
    erasures: &[AcceptedErasure],
    first: ErasureNumber,
) -> Result<(), Halt> {
    for (expected, accepted) in (first.number()..).zip(erasures) {
        if accepted.number.number() != expected {
            return Err(Halt::Altered(format!("request {expected}")));
        }
    }
    Ok(())
}

/// Checks that the last batch of erasures is in the store, and that an unsigned batch is that one.
pub(super) async fn check_batch(
    ports: &Ports,
    commitments: &Commitments,
    unsigned: Option<&Unsigned>,
) -> Result<(), BatchError> {
    let altered = |row: String| Err(Halt::Altered(row).into());
    if let Some(found) = unsigned
        && commitments.batch != Some((found.sequence, found.fulfilled))
    {
        return altered(format!("batch {}", found.sequence));
    }
    let fulfilled = commitments.fulfilled;
    if ports.store.fulfilled_up_to().await? != fulfilled {
        return altered(format!("batch of request {}", fulfilled.number()));
    }
    if let Some((sequence, batch)) = commitments.batch {
        let row = ports.store.batch_of(batch.last).await?;
        if row.map(|row| (row.sequence, row.fulfilled)) != commitments.batch {
            return altered(format!("batch {sequence}"));
        }
    }
    Ok(())
}

/// Applies a change to the rows, as the store does.
fn apply(rows: &mut Vec<KeyspaceRow>, change: &KeyspaceChange) {
    match change {
        KeyspaceChange::Create(row) => rows.push(row.clone()),
        KeyspaceChange::DropKeyspace(id) => rows.retain(|row| row.id != *id),
        KeyspaceChange::AddVersion(id, version) => {
            for row in rows.iter_mut().filter(|row| row.id == *id) {
                row.versions.push(version.clone());
            }
        }
        KeyspaceChange::DropVersion(id, version) => {
            let dropped = |number: KeyVersion| number == *version;
            for row in rows.iter_mut().filter(|row| row.id == *id) {
                row.versions.retain(|it| !dropped(it.version));
            }
        }
        KeyspaceChange::Replace(new) => {
            for row in rows.iter_mut().filter(|row| row.id == new.id) {
                row.clone_from(new);
            }
        }
    }
}
