//! An erasure before it is accepted: the draft, and the draft that a permission covers.

use lethe_core::erasure::{Erasure, ErasureKind};
use lethe_core::keyring::{Keyring, LiveKeyspace};
use lethe_core::keyspace::{KeyVersion, KeyspaceName};
use lethe_core::receipt::ErasureId;
use lethe_core::refusals::{Refusal, Target};
use lethe_core::time::Timestamp;

use crate::permissions::Permission;

/// A new erasure as it was decided. It has no permission yet.
pub(super) struct ErasureDraft {
    /// Its times are set when its keys are refused; see [`PermittedErasure::accept_at`].
    pub(super) erasure: Erasure,
    /// The keyspace's name when it was decided.
    name: KeyspaceName,
    /// The live versions when it was decided.
    versions: Vec<KeyVersion>,
    /// The longest lease of a data key that can be issued until the acceptance, in milliseconds.
    lease: u64,
    /// It waited for a second operator, so keys may have been issued after it was asked for.
    pub(super) waited: bool,
}

impl ErasureDraft {
    /// A draft for the present state of a keyspace. Leases under earlier settings may end later than those
    /// under the present ones.
    pub(super) fn new(keyspace: &LiveKeyspace, id: ErasureId, kind: ErasureKind) -> Self {
        let erasure = Erasure {
            id,
            keyspace: keyspace.id,
            accepted_at: Timestamp::from_millis(0),
            leases_end_at: keyspace.leases_until,
            kind,
        };
        Self {
            erasure,
            name: keyspace.name.clone(),
            versions: versions(keyspace),
            lease: keyspace.policy.cache_ttl().as_millis(),
            waited: false,
        }
    }

    /// Marks an erasure that waited: it does not cover keys that were issued since.
    pub(super) fn that_waited(self) -> Self {
        Self {
            waited: true,
            ..self
        }
    }

    /// Whether the decision still holds: the same versions are live, no key was issued after one of the
    /// leaves, and the leases are the same.
    pub(super) fn still_holds(&self, keyring: &Keyring) -> bool {
        let Some(keyspace) = keyring.keyspaces.get(&self.name) else {
            return false;
        };
        let same = keyspace.id == self.erasure.keyspace
            && versions(keyspace) == self.versions
            && keyspace.policy.cache_ttl().as_millis() == self.lease
            && keyspace.leases_until == self.erasure.leases_end_at;
        let was_reissued = |leaf| {
            matches!(
                keyring.refusals.get(Target::Leaf(leaf)),
                Some(Refusal::Accepted { reissued: true } | Refusal::Done)
            )
        };
        same && (self.waited || !self.erasure.leaves().any(was_reissued))
    }
}

/// A draft that a permission covers: only these are written to the store.
pub(super) struct PermittedErasure(ErasureDraft);

impl PermittedErasure {
    /// All of them; or returns the drafts if the permission does not cover each.
    pub(super) fn permitted(
        drafts: Vec<ErasureDraft>,
        permission: &Permission,
    ) -> Result<Vec<Self>, Vec<ErasureDraft>> {
        if drafts.iter().all(|it| permission.covers(&it.erasure)) {
            Ok(drafts.into_iter().map(Self).collect())
        } else {
            Err(drafts)
        }
    }

    pub(super) const fn draft(&self) -> &ErasureDraft {
        &self.0
    }

    /// Sets its times: `now` is when its keys were refused.
    pub(super) fn accept_at(&mut self, now: Timestamp) {
        let ErasureDraft { erasure, lease, .. } = &mut self.0;
        erasure.leases_end_at = erasure.leases_end_at.max(now.saturating_add(*lease));
        erasure.accepted_at = now;
    }
}

fn versions(keyspace: &LiveKeyspace) -> Vec<KeyVersion> {
    let versions = keyspace.versions.iter();
    versions.map(|version| version.tree.version).collect()
}
