//! Permissions: why a new erasure may be accepted.

use std::collections::HashSet;

use lethe_core::approval::{ApprovalDecision, ShredCount};
use lethe_core::erasure::{Erasure, ErasureKind};
use lethe_core::receipt::ErasureId;
use lethe_core::tree::TreeId;

/// Why a new erasure may be accepted. The acceptor writes no new erasure without one. Only this room, and
/// `src/approvals` for what a second operator approved, can make one.
#[derive(Debug)]
pub struct Permission(Kind);

#[derive(Debug)]
enum Kind {
    /// Approvals are off in the configuration.
    NotRequired,
    /// All keys of this version have expired.
    Expired(TreeId),
    /// The windows have room for these shreds, if they still have it in the transaction that accepts them.
    WithinWindow(ShredCount),
    /// A second operator approved the erasures with these ids. None if they were accepted before.
    Approved(Option<ApprovalDecision>, HashSet<ErasureId>),
}

impl Permission {
    /// For every erasure: approvals are off.
    pub(super) const fn not_required() -> Self {
        Self(Kind::NotRequired)
    }

    /// For shreds that the windows have room for.
    pub(super) const fn within_window(count: ShredCount) -> Self {
        Self(Kind::WithinWindow(count))
    }

    /// For the erasures of an approval. The transaction that accepts them makes it approved.
    pub(crate) fn approved(decision: ApprovalDecision, erasures: &[Erasure]) -> Self {
        let ids = erasures.iter().map(|it| it.id).collect();
        Self(Kind::Approved(Some(decision), ids))
    }

    /// For erasures that were accepted before: it covers no new one.
    pub(crate) fn for_nothing_new() -> Self {
        Self(Kind::Approved(None, HashSet::new()))
    }

    /// The decision that is written with its erasures.
    #[must_use]
    pub const fn approval(&self) -> Option<&ApprovalDecision> {
        match &self.0 {
            Kind::Approved(decision, _) => decision.as_ref(),
            _ => None,
        }
    }

    /// For the drop of a version whose last bucket is destroyed: no key of it can be opened any more.
    #[must_use]
    pub(crate) const fn expired_version(version: TreeId) -> Self {
        Self(Kind::Expired(version))
    }

    /// Whether it allows this erasure.
    #[must_use]
    pub fn covers(&self, erasure: &Erasure) -> bool {
        match &self.0 {
            Kind::NotRequired => true,
            Kind::Expired(tree) => {
                erasure.keyspace == tree.keyspace
                    && erasure.kind == ErasureKind::DropVersion(tree.version)
            }
            Kind::WithinWindow(_) => matches!(erasure.kind, ErasureKind::Shred { .. }),
            Kind::Approved(_, ids) => ids.contains(&erasure.id),
        }
    }

    /// What is counted in the windows when its erasures are accepted.
    #[must_use]
    pub const fn count(&self) -> Option<&ShredCount> {
        match &self.0 {
            Kind::WithinWindow(count) => Some(count),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use lethe_core::approval::{ApprovalId, Asker, Decision, Pool, Principal};
    use lethe_core::identity::KeyspaceId;
    use lethe_core::keyspace::KeyVersion;
    use lethe_core::time::Timestamp;

    use super::*;

    fn count() -> ShredCount {
        let asker = Asker {
            pool: Pool::MessageServers,
            client: "spiffe://a/server".into(),
            keyspace: KeyspaceId::from_bytes([1; 16]),
        };
        ShredCount {
            asker,
            conversations: 1,
        }
    }

    fn drop_of(keyspace: u8, version: u32, id: u8) -> Erasure {
        let version = KeyVersion::new(version).unwrap();
        Erasure {
            id: ErasureId::from_bytes([id; 16]),
            keyspace: KeyspaceId::from_bytes([keyspace; 16]),
            accepted_at: Timestamp::from_millis(0),
            leases_end_at: Timestamp::from_millis(0),
            kind: ErasureKind::DropVersion(version),
        }
    }

    #[test]
    fn a_permission_covers_only_its_own_erasures() {
        let expired = Permission::expired_version(TreeId {
            keyspace: KeyspaceId::from_bytes([1; 16]),
            version: KeyVersion::FIRST,
        });
        assert!(expired.covers(&drop_of(1, 1, 9)));
        assert!(!expired.covers(&drop_of(1, 2, 9)));
        assert!(!expired.covers(&drop_of(2, 1, 9)));
        let decision = ApprovalDecision {
            id: ApprovalId::FIRST,
            decision: Decision {
                by: Principal {
                    client: "spiffe://a/two".into(),
                    key: [2; 32],
                },
                at: Timestamp::from_millis(1),
            },
        };
        let approved = Permission::approved(decision, &[drop_of(1, 1, 9)]);
        assert!(approved.covers(&drop_of(1, 1, 9)));
        assert!(!approved.covers(&drop_of(1, 1, 8)));
        assert!(!Permission::for_nothing_new().covers(&drop_of(1, 1, 9)));
        assert!(!Permission::within_window(count()).covers(&drop_of(1, 1, 9)));
    }
}
