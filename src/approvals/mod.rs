//! What destroys much waits for a second operator: it is prepared, written down, and accepted when
//! somebody else, with another key, has given the second word.
//!
//! ```text
//! Waiting -> Given -> Done         Given is durable, so it is carried out through any crash.
//!    |         +----> Void
//!    +-> Expired, Withdrawn, or Void when its keyspace goes
//! ```

mod ask;
mod carry_out;
mod covered;
mod end;
mod minimum;
mod permission;
mod record;
mod sweep;
mod turns;
mod window;
mod withdraw;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use lethe_core::approval::ApprovalId;
use lethe_core::ports::{ApprovalStore, Room, StoreError};
use lethe_core::request::Request;
use lethe_core::time::Timestamp;
use parking_lot::Mutex;

pub use ask::{Asked, Question, Reply};
pub use carry_out::{Given, NotGiven, give};
pub use covered::{covered_by, lives};
pub use end::{ended, present, settle_last};
pub use permission::Permission;
pub use sweep::sweep;
pub use withdraw::{NotWithdrawn, withdraw};

use crate::config::ApprovalsSection;
use end::Ending;
use permission::Permit;
use turns::Turns;
use window::Window;

/// Approvals that may wait at once.
const MOST: u32 = 1_000;
/// Shreds of an earlier process that are looked at.
const MOST_REMEMBERED: u32 = 1_000_000;

/// When a second word is needed, and what waits for one.
pub struct Approvals {
    /// What outlives the process.
    pub store: Arc<dyn ApprovalStore>,
    required: bool,
    /// Whether raising a smallest version waits.
    pub minimum_version: bool,
    /// What of [`MOST`] one client may have, so that none keeps the others out.
    per_client: u32,
    expire_after: Duration,
    window: Arc<Mutex<Window>>,
    /// On record as about to be carried out: not again at every try.
    recorded: Mutex<HashSet<ApprovalId>>,
    /// On record as over, and not yet in the store.
    endings: Mutex<HashMap<ApprovalId, Ending>>,
    /// For a change of its state with what is on record before; none waits for the HSM in it.
    changes: Turns,
    /// For carrying it out, however long that takes.
    carrying: Turns,
}

impl Approvals {
    /// Goes on with the shreds that the store holds: those in the window count, approved or not.
    ///
    /// # Errors
    /// Of the store.
    pub async fn open(
        section: &ApprovalsSection,
        store: Arc<dyn ApprovalStore>,
    ) -> Result<Self, StoreError> {
        let mut window = Window::new(section.shreds, section.window);
        if section.required {
            let most = section.shreds.min(MOST_REMEMBERED);
            window.remember(&store.newest_shreds(most).await?);
        }
        Ok(Self {
            store,
            required: section.required,
            minimum_version: section.required && section.minimum_version,
            per_client: section.per_client,
            expire_after: section.expire_after,
            window: Arc::new(Mutex::new(window)),
            recorded: Mutex::default(),
            endings: Mutex::default(),
            changes: Turns::default(),
            carrying: Turns::default(),
        })
    }

    /// What allows these new requests of one call, without a second operator; none where one has to
    /// approve. All of them or none.
    #[must_use]
    pub fn permit<'r>(
        &self,
        requests: impl Iterator<Item = &'r Request>,
        now: Timestamp,
    ) -> Option<Permission> {
        if !self.required {
            return Some(Permission::not_required());
        }
        let mut conversations = HashSet::new();
        for request in requests {
            // The same conversation twice is one shred; what is no shred has no leaf.
            conversations.insert(request.leaves().next()?);
        }
        let conversations = conversations.len() as u64;
        Permit::take(&self.window, conversations, now).map(Permission::within_window)
    }

    fn ending(&self, id: ApprovalId) -> Option<Ending> {
        self.endings.lock().get(&id).cloned()
    }

    const fn room(&self) -> Room {
        Room {
            all: MOST,
            of_client: self.per_client,
        }
    }

    fn expiry(&self, now: Timestamp) -> Timestamp {
        let millis = u64::try_from(self.expire_after.as_millis());
        now.saturating_add(millis.unwrap_or(u64::MAX))
    }
}
