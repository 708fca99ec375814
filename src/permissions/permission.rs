//! Permissions: why a new erasure may be accepted.

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
    /// The windows have room for these shreds.
    WithinWindow(WindowRoom),
    /// A second operator approved the erasures with these ids. None if they were accepted before.
    Approved(Option<ApprovalDecision>, HashSet<ErasureId>),
}

impl Permission {
    /// For every erasure: approvals are off.
    pub(super) const fn not_required() -> Self {
        Self(Kind::NotRequired)
    }

    /// For shreds that the windows have room for.
    pub(super) const fn within_window(room: WindowRoom) -> Self {
        Self(Kind::WithinWindow(room))
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

    /// What is counted in the windows when it is used.
    #[must_use]
    pub const fn count(&self) -> Option<&ShredCount> {
        match &self.0 {
            Kind::WithinWindow(room) => Some(&room.count),
            _ => None,
        }
    }

    /// Marks it as used: its erasures are accepted. If it is dropped unused, it gives its room back.
    pub fn mark_used(&self) {
        if let Kind::WithinWindow(room) = &self.0 {
            room.used.store(true, Ordering::Relaxed);
        }
    }
}

/// Room that was taken in the windows. It is given back if this is dropped unused.
#[derive(Debug)]
pub(super) struct WindowRoom {
    windows: Arc<Mutex<Windows>>,
    count: ShredCount,
    used: AtomicBool,
}

impl WindowRoom {
    /// Takes room for all of these conversations; none if there is not enough.
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

impl Drop for WindowRoom {
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
        let room = WindowRoom::take(&windows(9), asker(), 1, Timestamp::from_millis(1)).unwrap();
        assert!(!Permission::within_window(room).covers(&drop_of(1, 1, 9)));
    }

    #[test]
    fn unused_room_is_given_back() {
        let windows = windows(3);
        let take =
            |count| WindowRoom::take(&windows, asker(), count, Timestamp::from_millis(1_000));
        let refused = take(3).map(Permission::within_window);
        assert!(take(1).is_none());
        drop(refused);
        let accepted = take(2).map(Permission::within_window).unwrap();
        accepted.mark_used();
        drop(accepted);
        assert!(take(2).is_none());
        assert!(take(1).is_some());
    }
}
