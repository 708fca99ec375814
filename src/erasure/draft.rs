//! An erasure on its way into the store, and what it was decided under.

use lethe_core::erasure::{Erasure, ErasureKind};
use lethe_core::keyring::{Keyring, LiveKeyspace};
use lethe_core::keyspace::{KeyVersion, KeyspaceName};
use lethe_core::receipt::ErasureId;
use lethe_core::refusals::{Refusal, Target};
use lethe_core::time::Timestamp;

use crate::approvals::Permission;

/// An erasure that nobody made before, as it was decided: nothing allows it yet.
pub(super) struct ErasureDraft {
    /// Its times are set when its keys are not given out any more.
    pub(super) erasure: Erasure,
    /// What it was decided under.
    name: KeyspaceName,
    versions: Vec<KeyVersion>,
    /// The longest lease of a plaintext key that can be given out until then, in milliseconds.
    lease: u64,
    /// Prepared earlier: its conversation may have gone on since.
    pub(super) waited: bool,
}

impl ErasureDraft {
    /// Its earlier leases may be longer than those of its present settings.
    pub(super) fn under(keyspace: &LiveKeyspace, id: ErasureId, kind: ErasureKind) -> Self {
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

    /// What went on since it was prepared is not meant.
    pub(super) fn that_waited(self) -> Self {
        Self {
            waited: true,
            ..self
        }
    }

    /// The same versions live, none of the leaves has gone on, and no longer lease was given out.
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
                keyring.refusals.of(Target::Leaf(leaf)),
                Some(Refusal::Accepted { reissued: true } | Refusal::Done)
            )
        };
        same && (self.waited || !self.erasure.leaves().any(was_reissued))
    }
}

/// An erasure on its way into the store: a draft that a permission covers.
pub(super) struct PermittedErasure(ErasureDraft);

impl PermittedErasure {
    /// All of them, or the drafts again where the permission is not for each.
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

    /// Its keys are not given out any more: from now on it counts.
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
