//! Which erasures and settings need the approval of a second operator, and the permission of an erasure
//! that may be accepted.

mod permission;
mod settings;

use std::collections::HashSet;
use std::sync::Arc;

use lethe_core::approval::{Asker, Pool, ShredCount, ShredLimits, ShredSums};
use lethe_core::erasure::Erasure;
use lethe_core::ports::{ApprovalStore, StoreError};
use lethe_core::time::Timestamp;

pub use permission::Permission;
pub use settings::{SettingsCheck, lengthens};

use crate::config::{ApprovalsSection, SpiffeId};

/// The client of a call that shreds.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its SPIFFE id.
    pub client: SpiffeId,
    /// The pool that its shreds count in.
    pub pool: Pool,
}

/// Whether approvals are on, their store, and the limits of shreds without one.
pub struct Permissions {
    /// The store of approvals, which counts shreds.
    pub store: Arc<dyn ApprovalStore>,
    /// The conversations that may be shredded in a window without an approval.
    pub limits: ShredLimits,
    /// Whether approvals are on.
    required: bool,
    /// Whether raising a minimum version needs an approval.
    minimum_version: bool,
}

impl Permissions {
    /// The rules of a configuration.
    #[must_use]
    pub fn new(section: &ApprovalsSection, store: Arc<dyn ApprovalStore>) -> Self {
        let limits = ShredLimits {
            span: section.window,
            pool: section.shreds.into(),
            client: section.shreds_per_client().into(),
            keyspace: section.shreds_per_keyspace().into(),
            floor: section.shreds_at_least().into(),
        };
        Self {
            store,
            limits,
            required: section.required,
            minimum_version: section.required && section.minimum_version,
        }
    }

    /// The permission for all new erasures of one call; none if a second operator has to approve them.
    /// `sums` are the windows that calls of the same transaction count in: what is missing is read from the
    /// store. Other processes may count meanwhile: the transaction that accepts the erasures decides again.
    ///
    /// # Errors
    /// Of the store.
    pub async fn permit(
        &self,
        caller: &Caller,
        erasures: &[&Erasure],
        sums: &mut ShredSums,
        now: Timestamp,
    ) -> Result<Option<Permission>, StoreError> {
        if !self.required {
            return Ok(Some(Permission::not_required()));
        }
        let Some(count) = count(caller, erasures) else {
            return Ok(None);
        };
        let mut missing = count.windows().to_vec();
        missing.retain(|window| !sums.contains_key(window));
        if !missing.is_empty() {
            let begin = self.limits.begin(now);
            let read = self.store.shred_sums(&missing, begin).await?;
            sums.extend(missing.into_iter().zip(read));
        }
        let fits = self.limits.add(sums, &count);
        Ok(fits.then(|| Permission::within_window(count)))
    }

    /// Drops counts that have left the windows.
    ///
    /// # Errors
    /// Of the store.
    pub async fn tidy(&self, now: Timestamp) -> Result<(), StoreError> {
        self.store.forget_shred_counts(self.limits.begin(now)).await
    }

    /// Whether approvals are on.
    #[must_use]
    pub const fn required(&self) -> bool {
        self.required
    }
}

/// What the erasures of a call count; none if one of them is no shred.
fn count(caller: &Caller, erasures: &[&Erasure]) -> Option<ShredCount> {
    let mut conversations = HashSet::new();
    for erasure in erasures {
        // A conversation counts once. An erasure that is no shred has no leaf.
        conversations.insert(erasure.leaves().next()?);
    }
    let asker = Asker {
        pool: caller.pool,
        client: caller.client.as_str().into(),
        keyspace: conversations.iter().next()?.tree.keyspace,
    };
    Some(ShredCount {
        asker,
        conversations: conversations.len() as u64,
    })
}
