//! What destroys much, or lets anything live longer, waits for a second operator: it is written down,
//! and done when somebody else, with another key, has approved it.
//!
//! ```text
//! Waiting -> Approved              one transaction: the approval and what it does
//!       \--> Ended(Expired | Withdrawn | Void)
//! ```
//!
//! Every change is one statement that only one caller can make; who made it puts it on record, and the
//! sweep does where that caller died.

mod approve;
mod ask;
mod covered;
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

pub use approve::{ApproveError, Approved, Outcome, approve};
pub use ask::{ApprovalCheck, Asked, Reply, digest_key};
pub use covered::{keyspace_exists, superseding_erase};
pub use end::{WithdrawError, effective, withdraw};
pub use permission::Permission;
pub use settings::{Needed, lengthens};
pub use sweep::sweep;

use crate::config::ApprovalsSection;
use crate::identity::SpiffeId;
use permission::Permit;
use window::{WindowLimits, Windows};

/// Approvals that may wait at once.
const MOST: u32 = 1_000;
/// Those of them that operators alone may ask for.
const OF_OPERATORS: u32 = 100;

/// Whose call asks for shreds.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its name.
    pub client: SpiffeId,
    /// With whom it counts.
    pub pool: Pool,
}

/// When a second operator is needed, and what waits for one.
pub struct Approvals {
    /// What outlives the process.
    pub store: Arc<dyn ApprovalStore>,
    required: bool,
    /// Whether raising a smallest version waits.
    minimum_version: bool,
    /// What of [`MOST`] one client may have, so that none keeps the others out.
    per_client: u32,
    expire_after: Duration,
    windows: Arc<Mutex<Windows>>,
}

impl Approvals {
    /// Goes on with what counted in the windows of an earlier process.
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

    /// What allows these new erasures of one call, without a second operator; none where one has to
    /// approve. All of them or none.
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
            // The same conversation twice is one shred; what is no shred has no leaf.
            conversations.insert(erasure.leaves().next()?);
        }
        let keyspace = conversations.iter().next()?.tree.keyspace;
        let asker = Asker {
            pool: caller.pool,
            client: caller.client.as_str().into(),
            keyspace,
        };
        let conversations = conversations.len() as u64;
        let permit = Permit::take(&self.windows, asker, conversations, now);
        permit.map(Permission::within_window)
    }

    /// Drops what has left the windows, from time to time.
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

    /// Whether what concerns the whole deployment waits.
    #[must_use]
    pub const fn required(&self) -> bool {
        self.required
    }

    /// Operators have room however much message servers have asked for.
    const fn capacity(&self, pool: Pool) -> Capacity {
        Capacity {
            all: match pool {
                Pool::MessageServers => MOST - OF_OPERATORS,
                Pool::Operators => MOST,
            },
            of_client: self.per_client,
        }
    }

    fn expiry(&self, now: Timestamp) -> Timestamp {
        let millis = u64::try_from(self.expire_after.as_millis());
        now.saturating_add(millis.unwrap_or(u64::MAX))
    }
}
