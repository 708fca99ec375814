//! Which erasures and settings need the approval of a second operator, and the permission of an erasure
//! that may be accepted.

mod permission;
mod settings;
mod window;

use std::collections::HashSet;
use std::sync::Arc;

use lethe_core::approval::{Asker, Pool};
use lethe_core::erasure::Erasure;
use lethe_core::ports::{ApprovalStore, StoreError};
use lethe_core::time::Timestamp;
use parking_lot::Mutex;

pub use permission::Permission;
pub use settings::{SettingsCheck, lengthens};

use crate::config::{ApprovalsSection, SpiffeId};
use permission::WindowRoom;
use window::{WindowLimits, Windows};

/// The client of a call that shreds.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its SPIFFE id.
    pub client: SpiffeId,
    /// The pool that its shreds count in.
    pub pool: Pool,
}

/// Whether approvals are on, their store, and the windows of shreds.
pub struct Permissions {
    /// The store of approvals.
    pub store: Arc<dyn ApprovalStore>,
    /// Whether approvals are on.
    required: bool,
    /// Whether raising a minimum version needs an approval.
    minimum_version: bool,
    windows: Arc<Mutex<Windows>>,
}

impl Permissions {
    /// Reads from the store what counts in the windows.
    ///
    /// # Errors
    /// Of the store.
    pub async fn open(
        section: &ApprovalsSection,
        store: Arc<dyn ApprovalStore>,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let limits = WindowLimits {
            pool: section.shreds.into(),
            client: section.shreds_per_client().into(),
            keyspace: section.shreds_per_keyspace().into(),
            floor: section.shreds_at_least().into(),
        };
        let mut windows = Windows::new(limits, section.window);
        if section.required {
            let after = Timestamp::from_millis(windows.begin(now));
            windows.remember(&store.shred_counts(after).await?);
        }
        Ok(Self {
            store,
            required: section.required,
            minimum_version: section.required && section.minimum_version,
            windows: Arc::new(Mutex::new(windows)),
        })
    }

    /// The permission for all new erasures of one call; none if a second operator has to approve them.
    #[must_use]
    pub fn permit<'r>(
        &self,
        caller: &Caller,
        erasures: impl Iterator<Item = &'r Erasure>,
        now: Timestamp,
    ) -> Option<Permission> {
        if !self.required {
            return Some(Permission::not_required());
        }
        let mut conversations = HashSet::new();
        for erasure in erasures {
            // A conversation counts once. An erasure that is no shred has no leaf and needs an approval.
            conversations.insert(erasure.leaves().next()?);
        }
        let keyspace = conversations.iter().next()?.tree.keyspace;
        let asker = Asker {
            pool: caller.pool,
            client: caller.client.as_str().into(),
            keyspace,
        };
        let conversations = conversations.len() as u64;
        let room = WindowRoom::take(&self.windows, asker, conversations, now);
        room.map(Permission::within_window)
    }

    /// Drops counts that have left the windows.
    ///
    /// # Errors
    /// Of the store.
    pub async fn tidy(&self, now: Timestamp) -> Result<(), StoreError> {
        let until = {
            let mut windows = self.windows.lock();
            windows.tidy(now);
            windows.begin(now)
        };
        let until = Timestamp::from_millis(until);
        self.store.forget_shred_counts(until).await
    }

    /// Whether approvals are on.
    #[must_use]
    pub const fn required(&self) -> bool {
        self.required
    }
}
