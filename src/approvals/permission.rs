use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lethe_core::approval::{ApprovalDecision, Asker, ShredCount};
use lethe_core::erasure::{Erasure, ErasureKind};
use lethe_core::receipt::ErasureId;
use lethe_core::time::Timestamp;
use lethe_core::tree::TreeId;
use parking_lot::Mutex;

use super::window::Windows;

/// Why an erasure that nobody made before may destroy. The acceptor writes no new erasure without
/// one, and nothing outside of this module can make one up.
#[derive(Debug)]
pub struct Permission(Kind);

#[derive(Debug)]
enum Kind {
    /// The configuration asks for no second operator.
    NotRequired,
    /// All keys of this version have expired.
    Outlived(TreeId),
    /// So few shreds need no second operator.
    WithinWindow(Permit),
    /// A second operator approved these erasures; none where it is done already.
    Approved(Option<ApprovalDecision>, HashSet<ErasureId>),
}

impl Permission {
    /// Where the configuration asks for no second operator.
    pub(super) const fn not_required() -> Self {
        Self(Kind::NotRequired)
    }

    /// For shreds that the window has room for.
    pub(super) const fn within_window(permit: Permit) -> Self {
        Self(Kind::WithinWindow(permit))
    }

    /// For the erasures of an approval: given in the transaction that accepts them.
    pub(super) fn approved(given: ApprovalDecision, erasures: &[Erasure]) -> Self {
        let ids = erasures.iter().map(|it| it.id).collect();
        Self(Kind::Approved(Some(given), ids))
    }

    /// For erasures that were accepted before.
    pub(super) fn for_nothing_new() -> Self {
        Self(Kind::Approved(None, HashSet::new()))
    }

    /// The approval that is given when its erasures are accepted.
    #[must_use]
    pub const fn given(&self) -> Option<&ApprovalDecision> {
        match &self.0 {
            Kind::Approved(given, _) => given.as_ref(),
            _ => None,
        }
    }

    /// For the drop of a version whose last bucket is gone: it destroys nothing that lives.
    #[must_use]
    pub(crate) const fn outlived(version: TreeId) -> Self {
        Self(Kind::Outlived(version))
    }

    /// Whether it is for this erasure.
    #[must_use]
    pub fn covers(&self, erasure: &Erasure) -> bool {
        match &self.0 {
            Kind::NotRequired => true,
            Kind::Outlived(tree) => {
                erasure.keyspace == tree.keyspace
                    && erasure.kind == ErasureKind::DropVersion(tree.version)
            }
            Kind::WithinWindow(_) => matches!(erasure.kind, ErasureKind::Shred { .. }),
            Kind::Approved(_, ids) => ids.contains(&erasure.id),
        }
    }

    /// What counts in the window when it is used.
    #[must_use]
    pub const fn count(&self) -> Option<&ShredCount> {
        match &self.0 {
            Kind::WithinWindow(permit) => Some(&permit.count),
            _ => None,
        }
    }

    /// What it was for is accepted: it counts. Dropped without, it gives back what it took.
    pub fn use_up(&self) {
        if let Kind::WithinWindow(permit) = &self.0 {
            permit.used.store(true, Ordering::Relaxed);
        }
    }
}

/// Room that was taken in the window; given back when it is dropped before it was used.
#[derive(Debug)]
pub(super) struct Permit {
    windows: Arc<Mutex<Windows>>,
    count: ShredCount,
    used: AtomicBool,
}

impl Permit {
    /// None where there is no room for all of them.
    pub(super) fn take(
        windows: &Arc<Mutex<Windows>>,
        asker: Asker,
        conversations: u64,
        now: Timestamp,
    ) -> Option<Self> {
        let end = windows.lock().take(&asker, conversations, now)?;
        Some(Self {
            windows: Arc::clone(windows),
            count: ShredCount {
                asker,
                end,
                conversations,
            },
            used: AtomicBool::new(false),
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !*self.used.get_mut() {
            self.windows.lock().give_back(&self.count);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lethe_core::approval::{ApprovalId, Decision, Pool, Principal};
    use lethe_core::identity::KeyspaceId;
    use lethe_core::keyspace::KeyVersion;

    use super::super::window::WindowLimits;
    use super::*;

    fn windows(most: u64) -> Arc<Mutex<Windows>> {
        let limits = WindowLimits {
            pool: most,
            client: most,
            keyspace: most,
            floor: 0,
        };
        Arc::new(Mutex::new(Windows::new(limits, Duration::from_secs(60))))
    }

    fn asker() -> Asker {
        Asker {
            pool: Pool::MessageServers,
            client: "spiffe://a/server".into(),
            keyspace: KeyspaceId::from_bytes([1; 16]),
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
    fn a_permission_is_for_what_it_was_given_for_alone() {
        let outlived = Permission::outlived(TreeId {
            keyspace: KeyspaceId::from_bytes([1; 16]),
            version: KeyVersion::FIRST,
        });
        assert!(outlived.covers(&drop_of(1, 1, 9)));
        assert!(!outlived.covers(&drop_of(1, 2, 9)));
        assert!(!outlived.covers(&drop_of(2, 1, 9)));
        let given = ApprovalDecision {
            id: ApprovalId::FIRST,
            decision: Decision {
                by: Principal {
                    client: "spiffe://a/two".into(),
                    key: [2; 32],
                },
                at: Timestamp::from_millis(1),
            },
        };
        let approved = Permission::approved(given, &[drop_of(1, 1, 9)]);
        assert!(approved.covers(&drop_of(1, 1, 9)));
        assert!(!approved.covers(&drop_of(1, 1, 8)));
        assert!(!Permission::for_nothing_new().covers(&drop_of(1, 1, 9)));
        let permit = Permit::take(&windows(9), asker(), 1, Timestamp::from_millis(1)).unwrap();
        assert!(!Permission::within_window(permit).covers(&drop_of(1, 1, 9)));
    }

    #[test]
    fn what_was_not_accepted_counts_no_more() {
        let windows = windows(3);
        let take = |count| Permit::take(&windows, asker(), count, Timestamp::from_millis(1_000));
        let refused = take(3).map(Permission::within_window);
        assert!(take(1).is_none());
        drop(refused);
        let accepted = take(2).map(Permission::within_window).unwrap();
        accepted.use_up();
        drop(accepted);
        assert!(take(2).is_none());
        assert!(take(1).is_some());
    }
}
