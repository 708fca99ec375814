//! Approvals. What destroys much, or lets keys live longer, waits in the store until a second operator, with
//! another name and another key, approves it. Then it is done.
//!
//! ```text
//! Waiting -> Approved              one transaction: the approval and what it does
//!       \--> Ended(Expired | Withdrawn | Void)
//! ```
//!
//! Each change of state is one statement of the store that succeeds once. The caller whose statement
//! succeeded writes the audit record. If it fails to, the sweep writes it.

mod approve;
mod check;
mod end;
mod permission;
mod record;
mod settings;
mod sweep;
mod window;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use lethe_core::approval::{Asker, Pool};
use lethe_core::erasure::Erasure;
use lethe_core::ports::{ApprovalStore, Capacity, StoreError};
use lethe_core::time::Timestamp;
use parking_lot::Mutex;

pub use approve::{ApproveError, Approved, ApprovedEffect, approve};
pub use check::{ApprovalCheck, CheckResult, PendingApproval, digest_key};
pub use end::{WithdrawError, effective, keyspace_exists, superseding_erase, withdraw};
pub use permission::Permission;
pub use settings::{SettingsCheck, lengthens};
pub use sweep::sweep;

use crate::config::ApprovalsSection;
use crate::identity::SpiffeId;
use permission::WindowRoom;
use window::{WindowLimits, Windows};

/// Approvals that may wait at the same time.
const MAX_WAITING: u32 = 1_000;
/// The part of [`MAX_WAITING`] that only operators may use.
const RESERVED_FOR_OPERATORS: u32 = 100;

/// The client of a call that shreds.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its SPIFFE id.
    pub client: SpiffeId,
    /// The pool that its shreds count in.
    pub pool: Pool,
}

/// The settings of approvals, their store, and the windows of shreds.
pub struct Approvals {
    /// The store of approvals.
    pub store: Arc<dyn ApprovalStore>,
    /// Whether approvals are on.
    required: bool,
    /// Whether raising a minimum version needs an approval.
    minimum_version: bool,
    /// The part of [`MAX_WAITING`] that one client may use, so that no client keeps others from asking.
    per_client: u32,
    /// How long an approval waits.
    expire_after: Duration,
    windows: Arc<Mutex<Windows>>,
}

impl Approvals {
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
            per_client: section.per_client,
            expire_after: section.expire_after,
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

    /// How many approvals may wait for a pool: message servers cannot use the room of operators.
    const fn capacity(&self, pool: Pool) -> Capacity {
        Capacity {
            all: match pool {
                Pool::MessageServers => MAX_WAITING - RESERVED_FOR_OPERATORS,
                Pool::Operators => MAX_WAITING,
            },
            of_client: self.per_client,
        }
    }

    fn expiry(&self, now: Timestamp) -> Timestamp {
        let millis = u64::try_from(self.expire_after.as_millis());
        now.saturating_add(millis.unwrap_or(u64::MAX))
    }
}
