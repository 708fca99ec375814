//! Sliding windows: how many conversations were shredded lately without an approval, by which client and in
//! which keyspace.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use lethe_core::approval::{Asker, Pool, ShredCount};
use lethe_core::identity::KeyspaceId;
use lethe_core::time::Timestamp;

/// Parts of a window. A part counts until its end has left the window.
const PARTS: u64 = 1_000;

/// Conversations that may be shredded in a window without an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WindowLimits {
    /// By all clients of a pool.
    pub(super) pool: u64,
    /// By one client.
    pub(super) client: u64,
    /// In one keyspace, by all clients of a pool.
    pub(super) keyspace: u64,
    /// By one client, even if the other limits are reached.
    pub(super) floor: u64,
}

/// The counts of each pool, each client and each keyspace.
#[derive(Debug)]
pub(super) struct Windows {
    limits: WindowLimits,
    span: u64,
    pools: HashMap<Pool, Window>,
    clients: HashMap<(Pool, Box<str>), Window>,
    keyspaces: HashMap<(Pool, KeyspaceId), Window>,
}

impl Windows {
    pub(super) fn new(limits: WindowLimits, span: Duration) -> Self {
        Self {
            limits,
            span: u64::try_from(span.as_millis()).unwrap_or(u64::MAX),
            pools: HashMap::new(),
            clients: HashMap::new(),
            keyspaces: HashMap::new(),
        }
    }

    /// Adds the counts of an earlier process, in the order of their ends and without regard to the limits.
    pub(super) fn remember(&mut self, counts: &[ShredCount]) {
        for count in counts {
            let end = count.end.as_millis();
            for window in self.windows_of(&count.asker) {
                window.add(count.conversations, end);
            }
        }
    }

    /// Counts all conversations, or none if they exceed a limit. Returns the end of their part.
    pub(super) fn take(
        &mut self,
        asker: &Asker,
        conversations: u64,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let limits = self.limits;
        let (end, from) = (self.end_of_part(now), self.begin(now));
        let windows = self.windows_of(asker);
        let [pool, client, keyspace] = windows.map(|window| {
            window.slide(from);
            (window.sum.saturating_add(conversations), window)
        });
        let fits =
            pool.0 <= limits.pool && client.0 <= limits.client && keyspace.0 <= limits.keyspace;
        if !fits && client.0 > limits.floor {
            return None;
        }
        for (_, window) in [pool, client, keyspace] {
            window.add(conversations, end);
        }
        Some(Timestamp::from_millis(end))
    }

    /// Removes a count: its shreds were not accepted.
    pub(super) fn give_back(&mut self, count: &ShredCount) {
        for window in self.windows_of(&count.asker) {
            window.remove(count.conversations, count.end.as_millis());
        }
    }

    /// Drops parts that have left the window, and empty windows.
    pub(super) fn tidy(&mut self, now: Timestamp) {
        let from = self.begin(now);
        let is_used = |window: &mut Window| {
            window.slide(from);
            window.sum > 0
        };
        self.pools.retain(|_, window| is_used(window));
        self.clients.retain(|_, window| is_used(window));
        self.keyspaces.retain(|_, window| is_used(window));
    }

    /// The time at which the window begins: parts that end by then have left it.
    pub(super) fn begin(&self, now: Timestamp) -> u64 {
        now.as_millis().saturating_sub(self.span)
    }

    fn windows_of(&mut self, asker: &Asker) -> [&mut Window; 3] {
        let Asker {
            pool,
            client,
            keyspace,
        } = asker;
        [
            self.pools.entry(*pool).or_default(),
            self.clients.entry((*pool, client.clone())).or_default(),
            self.keyspaces.entry((*pool, *keyspace)).or_default(),
        ]
    }

    fn end_of_part(&self, at: Timestamp) -> u64 {
        let width = (self.span / PARTS).max(1);
        let part = at.as_millis() / width;
        part.saturating_add(1).saturating_mul(width)
    }
}

/// One sliding window.
#[derive(Debug, Default)]
struct Window {
    /// The end of each part and its count, in order.
    parts: VecDeque<(u64, u64)>,
    /// The sum of all counts.
    sum: u64,
}

impl Window {
    fn slide(&mut self, from: u64) {
        while let Some((_, left)) = self.parts.pop_front_if(|(end, _)| *end <= from) {
            self.sum -= left;
        }
    }

    fn add(&mut self, count: u64, end: u64) {
        match self.parts.back_mut() {
            Some((last, sum)) if *last == end => *sum += count,
            _ => self.parts.push_back((end, count)),
        }
        self.sum += count;
    }

    fn remove(&mut self, count: u64, end: u64) {
        let counted = self.parts.iter_mut().rev().find(|(it, _)| *it == end);
        if let Some((_, counted)) = counted {
            let count = count.min(*counted);
            *counted -= count;
            self.sum -= count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_700_000_000_000;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(START + seconds * 1_000)
    }

    fn asker(pool: Pool, client: &str, keyspace: u8) -> Asker {
        Asker {
            pool,
            client: client.into(),
            keyspace: KeyspaceId::from_bytes([keyspace; 16]),
        }
    }

    fn server(client: &str) -> Asker {
        asker(Pool::MessageServers, client, 1)
    }

    fn windows(pool: u64, client: u64, keyspace: u64, floor: u64) -> Windows {
        let limits = WindowLimits {
            pool,
            client,
            keyspace,
            floor,
        };
        Windows::new(limits, Duration::from_secs(60))
    }

    #[test]
    fn takes_up_to_the_limit_and_slides() {
        let mut windows = windows(10, 10, 10, 0);
        let mut take = |count, seconds| windows.take(&server("a"), count, at(seconds)).is_some();
        assert!(take(6, 0));
        assert!(!take(5, 10), "all or none");
        assert!(take(4, 20));
        assert!(!take(1, 59));
        assert!(take(6, 61));
        assert!(!take(1, 79));
        assert!(take(4, 81));
        assert!(!take(11, 1_000), "never more than the limit at once");
    }

    #[test]
    fn one_client_leaves_the_others_their_floor() {
        let mut windows = windows(10, 10, 10, 2);
        let mut take = |client, count| windows.take(&server(client), count, at(0)).is_some();
        assert!(take("a", 10));
        assert!(!take("a", 1));
        assert!(take("b", 2));
        assert!(!take("b", 1));
        assert!(!take("c", 3), "all or none");
        assert!(take("c", 1) && take("c", 1));
        assert!(!take("c", 1));
    }

    #[test]
    fn clients_keyspaces_and_pools_have_windows_of_their_own() {
        let mut windows = windows(10, 4, 6, 0);
        let mut take = |asker: &Asker, count| windows.take(asker, count, at(0)).is_some();
        assert!(take(&server("a"), 4));
        assert!(!take(&server("a"), 1), "its own");
        assert!(!take(&server("b"), 3), "its keyspace's");
        assert!(take(&server("b"), 2));
        let elsewhere = asker(Pool::MessageServers, "c", 2);
        assert!(take(&elsewhere, 4));
        let third = asker(Pool::MessageServers, "d", 3);
        assert!(!take(&third, 1), "all of them together");
        let operator = asker(Pool::Operators, "a", 1);
        assert!(take(&operator, 4), "operators take nothing of the others'");
    }

    #[test]
    fn what_is_given_back_is_there_again() {
        let mut windows = windows(3, 3, 3, 0);
        let end = windows.take(&server("a"), 3, at(1)).unwrap();
        assert!(windows.take(&server("a"), 1, at(1)).is_none());
        windows.give_back(&ShredCount {
            asker: server("a"),
            end,
            conversations: 2,
        });
        assert!(windows.take(&server("b"), 2, at(2)).is_some());
        assert!(windows.take(&server("b"), 1, at(2)).is_none());
    }

    #[test]
    fn remembers_more_than_the_limit() {
        let mut windows = windows(2, 2, 2, 0);
        let count = |seconds: u64| ShredCount {
            asker: server("a"),
            end: at(seconds),
            conversations: 1,
        };
        windows.remember(&[count(1), count(2), count(3)]);
        let mut take = |seconds| windows.take(&server("a"), 1, at(seconds)).is_some();
        assert!(!take(4));
        assert!(!take(60), "three are left in it");
        assert!(!take(61), "two are");
        assert!(take(62));
    }

    #[test]
    fn its_size_is_bounded() {
        let most = u64::from(u32::MAX);
        let mut windows = windows(most, most, most, 0);
        for step in 0..100_000 {
            let now = Timestamp::from_millis(START + step * 7);
            assert!(windows.take(&server("a"), 1, now).is_some());
        }
        for window in windows.windows_of(&server("a")) {
            assert!(window.parts.len() as u64 <= PARTS + 2);
            let counted = window.parts.iter().map(|(_, count)| count);
            assert_eq!(window.sum, counted.sum::<u64>());
        }
        windows.tidy(at(1_000));
        let empty = windows.pools.is_empty() && windows.clients.is_empty();
        assert!(empty && windows.keyspaces.is_empty());
    }
}
