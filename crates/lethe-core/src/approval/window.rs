//! Sliding windows: how many conversations were shredded lately without an approval. Each pool, each client
//! and each keyspace of a pool has a window. The store keeps them: it counts for all processes together.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Asker, Pool};
use crate::identity::KeyspaceId;
use crate::time::Timestamp;

/// Parts of a window. A part counts until its end has left the window, so a shred counts for up to a
/// hundredth of the window too long.
const PARTS: u64 = 100;

/// A window of shreds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShredWindow {
    /// The shreds of all clients of a pool.
    Pool(Pool),
    /// The shreds of one client.
    Client(Pool, Box<str>),
    /// The shreds of all clients of a pool in one keyspace.
    Keyspace(Pool, KeyspaceId),
}

/// Conversations that one call shreds without an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShredCount {
    /// The client and the keyspace.
    pub asker: Asker,
    /// The number of conversations.
    pub conversations: u64,
}

impl ShredCount {
    /// The windows that it counts in.
    #[must_use]
    pub fn windows(&self) -> [ShredWindow; 3] {
        let Asker {
            pool,
            client,
            keyspace,
        } = &self.asker;
        [
            ShredWindow::Pool(*pool),
            ShredWindow::Client(*pool, client.clone()),
            ShredWindow::Keyspace(*pool, *keyspace),
        ]
    }
}

/// Conversations by window.
pub type ShredSums = BTreeMap<ShredWindow, u64>;

/// What these counts add to each window.
#[must_use]
pub fn sum_by_window(counts: &[ShredCount]) -> ShredSums {
    let mut sums = ShredSums::new();
    for count in counts {
        for window in count.windows() {
            *sums.entry(window).or_default() += count.conversations;
        }
    }
    sums
}

/// Conversations that may be shredded in a window without an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShredLimits {
    /// The length of the windows.
    pub span: Duration,
    /// By all clients of a pool.
    pub pool: u64,
    /// By one client.
    pub client: u64,
    /// In one keyspace, by all clients of a pool.
    pub keyspace: u64,
    /// By one client, even if the other limits are reached.
    pub floor: u64,
}

impl ShredLimits {
    /// Adds a call's count to the sums of its windows; false, and adds nothing, if it exceeds a limit.
    #[must_use]
    pub fn add(&self, sums: &mut ShredSums, count: &ShredCount) -> bool {
        let windows = count.windows();
        let [pool, client, keyspace] = windows.each_ref().map(|window| {
            let sum = sums.get(window).copied().unwrap_or_default();
            sum.saturating_add(count.conversations)
        });
        let fits = pool <= self.pool && client <= self.client && keyspace <= self.keyspace;
        if !fits && client > self.floor {
            return false;
        }
        sums.extend(windows.into_iter().zip([pool, client, keyspace]));
        true
    }

    /// The time at which the windows begin: parts that end by then have left them.
    #[must_use]
    pub fn begin(&self, now: Timestamp) -> Timestamp {
        Timestamp::from_millis(now.as_millis().saturating_sub(self.span_millis()))
    }

    /// The end of the part that a time is in.
    #[must_use]
    pub fn end_of_part(&self, at: Timestamp) -> Timestamp {
        let width = (self.span_millis() / PARTS).max(1);
        let part = at.as_millis() / width;
        Timestamp::from_millis(part.saturating_add(1).saturating_mul(width))
    }

    fn span_millis(&self) -> u64 {
        u64::try_from(self.span.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(client: &str, keyspace: u8, conversations: u64) -> ShredCount {
        let asker = Asker {
            pool: Pool::MessageServers,
            client: client.into(),
            keyspace: KeyspaceId::from_bytes([keyspace; 16]),
        };
        ShredCount {
            asker,
            conversations,
        }
    }

    fn limits(pool: u64, client: u64, keyspace: u64, floor: u64) -> ShredLimits {
        ShredLimits {
            span: Duration::from_secs(60),
            pool,
            client,
            keyspace,
            floor,
        }
    }

    #[test]
    fn one_client_leaves_the_others_their_floor() {
        let (limits, mut sums) = (limits(10, 10, 10, 2), ShredSums::new());
        let mut add = |client, count| limits.add(&mut sums, &server(client, 1, count));
        assert!(!add("a", 11), "all or none");
        assert!(add("a", 10));
        assert!(!add("a", 1));
        assert!(add("b", 2));
        assert!(!add("b", 1));
        assert!(!add("c", 3), "all or none");
        assert!(add("c", 1) && add("c", 1));
        assert!(!add("c", 1));
    }

    #[test]
    fn clients_keyspaces_and_pools_have_windows_of_their_own() {
        let (limits, mut sums) = (limits(10, 4, 6, 0), ShredSums::new());
        let mut add = |count: &ShredCount| limits.add(&mut sums, count);
        assert!(add(&server("a", 1, 4)));
        assert!(!add(&server("a", 1, 1)), "its own");
        assert!(!add(&server("b", 1, 3)), "its keyspace's");
        assert!(add(&server("b", 1, 2)));
        assert!(add(&server("c", 2, 4)));
        assert!(!add(&server("d", 3, 1)), "all of them together");
        let mut operator = server("a", 1, 4);
        operator.asker.pool = Pool::Operators;
        assert!(add(&operator), "operators take nothing of the others'");
    }

    #[test]
    fn counts_add_up_by_window() {
        let counts = [server("a", 1, 2), server("b", 1, 3), server("a", 2, 4)];
        let (limits, mut one_by_one) = (limits(9, 9, 9, 9), ShredSums::new());
        for count in &counts {
            assert!(limits.add(&mut one_by_one, count));
        }
        assert_eq!(sum_by_window(&counts), one_by_one);
        assert_eq!(one_by_one[&ShredWindow::Pool(Pool::MessageServers)], 9);
    }

    #[test]
    fn a_part_ends_after_it_begins_and_parts_are_few() {
        let at = Timestamp::from_millis;
        let limits = limits(1, 1, 1, 1);
        assert_eq!(limits.begin(at(70_000)), at(10_000));
        assert_eq!(limits.begin(at(3)), at(0));
        assert_eq!(limits.end_of_part(at(0)), at(600));
        assert_eq!(limits.end_of_part(at(599)), at(600));
        assert_eq!(limits.end_of_part(at(600)), at(1_200));
    }
}
