//! What the directory commits to about the store's other rows. Somebody who can only write to the
//! database cannot change it, nor bring back an older state.

use sha2::{Digest, Sha256};

use super::Directory;
use crate::deployment_key::DeploymentKey;
use crate::erasure::ErasureNumber;
use crate::ports::{Fulfilled, KeyspaceRow, VersionRow};
use crate::secret::Secret32;
use crate::time::Timestamp;

/// The commitments of a directory. A directory of an earlier release has none.
pub struct Commitments {
    /// The secret that the [`DeploymentKey`] is derived from.
    pub secret: Secret32,
    /// The number up to which all erasures are fulfilled; 0 before the first.
    pub fulfilled: ErasureNumber,
    /// The sequence of the last batch that fulfilled erasures; none before the first.
    pub batch: Option<(u64, Fulfilled)>,
    /// [`keyspaces_digest`] of the tables of keyspaces and key versions.
    pub keyspaces: [u8; 32],
    /// The time since which keys may have been issued under versions or settings that this directory
    /// replaces. None when the store says until when they were issued.
    pub changing_since: Option<Timestamp>,
    /// The steady time when the directory was written.
    pub time: Timestamp,
}

impl Commitments {
    /// The commitments of a deployment that has none yet.
    #[must_use]
    pub fn first(secret: Secret32, fulfilled: ErasureNumber, keyspaces: &[KeyspaceRow]) -> Self {
        Self {
            secret,
            fulfilled,
            batch: None,
            keyspaces: keyspaces_digest(keyspaces),
            changing_since: None,
            time: Timestamp::from_millis(0),
        }
    }

    /// The keyspace in the store, with the times of what changes moved on to `now`: until then keys may
    /// have been issued by the old rules.
    #[must_use]
    pub fn with_adjusted_times(&self, row: &KeyspaceRow, now: Timestamp) -> KeyspaceRow {
        let Some(since) = self.changing_since else {
            return row.clone();
        };
        let late = now.as_millis().saturating_sub(since.as_millis());
        let moved = |time: Timestamp| match time < since {
            true => time,
            false => time.saturating_add(late),
        };
        let version = |version: &VersionRow| VersionRow {
            version: version.version,
            created_at: moved(version.created_at),
        };
        KeyspaceRow {
            leases_until: moved(row.leases_until),
            expiries_until: moved(row.expiries_until),
            versions: row.versions.iter().map(version).collect(),
            ..row.clone()
        }
    }

    /// The deployment key, from the secret.
    #[must_use]
    pub fn key(&self) -> DeploymentKey {
        DeploymentKey::new(&self.secret)
    }
}

impl Directory {
    /// The commitments; none in a directory of an earlier release.
    #[must_use]
    pub const fn commitments(&self) -> Option<&Commitments> {
        self.commitments.as_ref()
    }

    /// Replaces the commitments.
    pub const fn commitments_mut(&mut self) -> &mut Option<Commitments> {
        &mut self.commitments
    }

    /// Whether the directory was written with these keyspaces. True if it has no commitments.
    #[must_use]
    pub fn agrees_with(&self, keyspaces: &[KeyspaceRow]) -> bool {
        let digest = |it: &Commitments| it.keyspaces == keyspaces_digest(keyspaces);
        self.commitments.as_ref().is_none_or(digest)
    }
}

/// SHA-256 of `"lethe/v1/keyspaces" || count as u32` and, ascending by id, of each keyspace: id (16),
/// length of the name (2) and name, retention and granularity in seconds (8 each), rotation and
/// cache TTL in milliseconds (8 each), leases until and expiries until (8 each), minimum version (4),
/// count of shorter retentions (1) and each in seconds (8), count of versions (4), and of each version, ascending, its number (4) and `created_at` (8).
#[must_use]
pub fn keyspaces_digest(keyspaces: &[KeyspaceRow]) -> [u8; 32] {
    let mut rows: Vec<&KeyspaceRow> = keyspaces.iter().collect();
    rows.sort_unstable_by_key(|row| row.id);
    let mut hash = Sha256::new();
    hash.update(b"lethe/v1/keyspaces");
    hash.update((rows.len() as u32).to_be_bytes());
    for row in rows {
        add_keyspace(&mut hash, row);
    }
    hash.finalize().into()
}

fn add_keyspace(hash: &mut Sha256, row: &KeyspaceRow) {
    let (name, policy) = (row.name.as_str(), &row.policy);
    hash.update(row.id.as_bytes());
    hash.update((name.len() as u16).to_be_bytes());
    hash.update(name);
    for number in [
        policy.retention_seconds(),
        policy.granularity_seconds(),
        policy.rotation().as_millis(),
        policy.cache_ttl().as_millis(),
        row.leases_until.as_millis(),
        row.expiries_until.as_millis(),
    ] {
        hash.update(number.to_be_bytes());
    }
    hash.update(row.minimum_version.number().to_be_bytes());
    hash.update([policy.shorter_retentions().count() as u8]);
    for shorter in policy.shorter_retentions() {
        hash.update(shorter.as_seconds().to_be_bytes());
    }
    hash.update((row.versions.len() as u32).to_be_bytes());
    for version in &row.versions {
        hash.update(version.version.number().to_be_bytes());
        hash.update(version.created_at.as_millis().to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duration::Span;
    use crate::identity::KeyspaceId;
    use crate::keyspace::{KeyVersion, Policy};

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn row() -> KeyspaceRow {
        let version = |number, created_at| VersionRow {
            version: KeyVersion::new(number).unwrap(),
            created_at: at(created_at),
        };
        let [day, hour] = [86_400, 3_600].map(Span::from_seconds);
        KeyspaceRow {
            id: KeyspaceId::from_bytes([1; 16]),
            name: "chat".parse().unwrap(),
            policy: Policy::new(day, hour, day, hour).unwrap(),
            leases_until: at(900),
            expiries_until: at(1_500),
            minimum_version: KeyVersion::FIRST,
            versions: vec![version(1, 10), version(2, 1_000)],
        }
    }

    fn commitments(keyspaces: &[KeyspaceRow]) -> Commitments {
        let secret = Secret32::filled(|bytes| bytes.fill(1));
        Commitments::first(secret, ErasureNumber::new(0), keyspaces)
    }

    #[test]
    fn what_changes_counts_from_when_the_rules_before_were_over() {
        let mut commitments = commitments(&[]);
        assert_eq!(commitments.with_adjusted_times(&row(), at(9_000)), row());
        commitments.changing_since = Some(at(1_000));
        let moved = commitments.with_adjusted_times(&row(), at(1_250));
        assert_eq!(moved.leases_until, at(900));
        assert_eq!(moved.expiries_until, at(1_750));
        let created: Vec<_> = moved.versions.iter().map(|it| it.created_at).collect();
        assert_eq!(created, [at(10), at(1_250)]);
    }

    #[test]
    fn every_column_of_a_keyspace_counts() {
        let directory = Directory {
            commitments: Some(commitments(&[row()])),
            ..Directory::default()
        };
        assert!(directory.agrees_with(&[row()]));
        let altered = |alter: fn(&mut KeyspaceRow)| {
            let mut row = row();
            alter(&mut row);
            row
        };
        let day = Span::from_seconds(86_400);
        let others = [
            altered(|row| row.id = KeyspaceId::from_bytes([2; 16])),
            altered(|row| row.name = "chats".parse().unwrap()),
            altered(|row| row.leases_until = at(901)),
            altered(|row| row.expiries_until = at(1_501)),
            altered(|row| row.minimum_version = KeyVersion::new(2).unwrap()),
            altered(|row| row.versions.truncate(1)),
            altered(|row| row.versions[0].created_at = at(11)),
            KeyspaceRow {
                policy: Policy::new(day, day, day, day).unwrap(),
                ..row()
            },
            altered(|row| {
                let shorter = [Span::from_seconds(7_200)];
                row.policy = row.policy.with_shorter_retentions(&shorter).unwrap();
            }),
        ];
        for other in others {
            let other = [other];
            assert!(!directory.agrees_with(&other), "{other:?}");
        }
        assert!(!directory.agrees_with(&[]));
        assert!(!directory.agrees_with(&[row(), row()]));
        assert!(Directory::default().agrees_with(&[]));
    }
}
