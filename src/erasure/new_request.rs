//! A request on its way into the store, and what it was decided under.

use lethe_core::keyring::{Keyring, LiveKeyspace};
use lethe_core::keyspace::{KeyVersion, KeyspaceName};
use lethe_core::receipt::RequestId;
use lethe_core::refusals::{Refusal, Target};
use lethe_core::request::{Request, Wish};
use lethe_core::time::Timestamp;

use crate::approvals::Permission;

/// A request that nobody made before, as it was decided: nothing allows it yet.
pub(super) struct Draft {
    /// Its times are set when its keys are not given out any more.
    pub(super) request: Request,
    /// What it was decided under.
    name: KeyspaceName,
    versions: Vec<KeyVersion>,
    /// The longest lease of a plaintext key that can be given out until then, in milliseconds.
    lease: u64,
    /// Prepared earlier: its conversation may have gone on since.
    pub(super) waited: bool,
}

impl Draft {
    /// Its earlier leases may be longer than those of its present settings.
    pub(super) fn under(keyspace: &LiveKeyspace, id: RequestId, wish: Wish) -> Self {
        let request = Request {
            id,
            keyspace: keyspace.id,
            accepted_at: Timestamp::from_millis(0),
            leases_end_at: keyspace.leases_until,
            wish,
        };
        Self {
            request,
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
        let same = keyspace.id == self.request.keyspace
            && versions(keyspace) == self.versions
            && keyspace.policy.cache_ttl().as_millis() == self.lease
            && keyspace.leases_until == self.request.leases_end_at;
        let was_reissued = |leaf| {
            matches!(
                keyring.refusals.of(Target::Leaf(leaf)),
                Some(Refusal::Accepted { reissued: true } | Refusal::Done)
            )
        };
        same && (self.waited || !self.request.leaves().any(was_reissued))
    }
}

/// A request on its way into the store: a draft that a permission covers.
pub(super) struct New(Draft);

impl New {
    /// All of them, or the drafts again where the permission is not for each.
    pub(super) fn permitted(
        drafts: Vec<Draft>,
        permission: &Permission,
    ) -> Result<Vec<Self>, Vec<Draft>> {
        if drafts.iter().all(|it| permission.covers(&it.request)) {
            Ok(drafts.into_iter().map(Self).collect())
        } else {
            Err(drafts)
        }
    }

    pub(super) const fn draft(&self) -> &Draft {
        &self.0
    }

    /// Its keys are not given out any more: from now on it counts.
    pub(super) fn accept_at(&mut self, now: Timestamp) {
        let Draft { request, lease, .. } = &mut self.0;
        request.leases_end_at = request.leases_end_at.max(now.saturating_add(*lease));
        request.accepted_at = now;
    }
}

fn versions(keyspace: &LiveKeyspace) -> Vec<KeyVersion> {
    let versions = keyspace.versions.iter();
    versions.map(|version| version.tree.version).collect()
}
