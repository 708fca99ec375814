//! Counts how many different conversations each client has unwrapped lately, so that a stolen certificate can
//! read only so many, or at least somebody notices.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use lethe_core::identity::KeyspaceId;
use lethe_core::time::Timestamp;
use parking_lot::{Mutex, RwLock};

use crate::config::CeilingSection;
use crate::identity::SpiffeId;

/// Steps in which a window slides.
const STEPS: u64 = 16;

/// The counts of all clients.
pub(super) struct Ceilings {
    limit: CeilingSection,
    /// Length of a step, in milliseconds.
    step: u64,
    /// Conversations are known by a keyed hash only: no ids stay in memory, and nobody can aim a
    /// collision.
    hasher: RandomState,
    clients: RwLock<HashMap<SpiffeId, Arc<Mutex<Window>>>>,
}

/// The conversations of one client.
#[derive(Default)]
struct Window {
    /// For each conversation, by its hash: the step in which it was unwrapped last.
    seen: HashMap<u64, u64>,
    newest: u64,
    above: bool,
}

/// What unwrapping does to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Below the ceiling.
    Below,
    /// Above the ceiling, and below it before this call.
    Reached,
    /// Above the ceiling, as before.
    Above,
}

impl Window {
    /// Forgets what has left the window.
    fn slide(&mut self, step: u64, most: usize) {
        if step > self.newest {
            self.newest = step;
            self.seen.retain(|_, last| *last + STEPS >= step);
            self.seen.shrink_to(self.seen.len() * 2);
            self.above &= self.seen.len() >= most;
        }
    }
}

impl Ceilings {
    pub(super) fn new(limit: CeilingSection) -> Self {
        let window = u64::try_from(limit.window.as_millis()).unwrap_or(u64::MAX);
        Self {
            limit,
            step: (window / STEPS).max(1),
            hasher: RandomState::new(),
            clients: RwLock::default(),
        }
    }

    /// Counts conversations that a client unwraps.
    pub(super) fn unwrap<'a>(
        &self,
        client: &SpiffeId,
        keyspace: KeyspaceId,
        conversations: impl Iterator<Item = &'a str>,
        now: Timestamp,
    ) -> Standing {
        let window = self.window(client);
        let mut window = window.lock();
        let (step, most) = (now.as_millis() / self.step, self.most());
        window.slide(step, most);
        if window.above && self.limit.stop {
            return Standing::Above;
        }
        let newest = window.newest;
        for conversation in conversations {
            let name = self.hasher.hash_one((keyspace.as_bytes(), conversation));
            // One above the ceiling is one too many, and a client that is not stopped takes no more
            // memory for it.
            if window.seen.len() <= most {
                window.seen.insert(name, newest);
            } else if let Some(last) = window.seen.get_mut(&name) {
                *last = newest;
            }
        }
        let before = window.above;
        window.above = window.seen.len() > most;
        match (before, window.above) {
            (false, true) => Standing::Reached,
            (true, true) => Standing::Above,
            (_, false) => Standing::Below,
        }
    }

    /// Whether a client is refused now, and until when at least.
    pub(super) fn stopped(&self, client: &SpiffeId, now: Timestamp) -> Option<Duration> {
        if !self.limit.stop {
            return None;
        }
        let window = self.clients.read().get(client).cloned()?;
        let mut window = window.lock();
        window.slide(now.as_millis() / self.step, self.most());
        let left = self.step - now.as_millis() % self.step;
        window.above.then(|| Duration::from_millis(left))
    }

    /// Clients above the ceiling. Those that unwrapped nothing for a window are dropped.
    pub(super) fn above(&self, now: Timestamp) -> usize {
        let mut above = 0;
        self.clients.write().retain(|_, window| {
            // Whoever got it before this lock was taken still counts in it.
            let used = Arc::strong_count(window) > 1;
            let mut window = window.lock();
            window.slide(now.as_millis() / self.step, self.most());
            above += usize::from(window.above);
            used || !window.seen.is_empty()
        });
        above
    }

    /// Whether clients above the ceiling are refused. Otherwise they are only logged and counted.
    pub(super) const fn stops(&self) -> bool {
        self.limit.stop
    }

    const fn most(&self) -> usize {
        self.limit.most.get() as usize
    }

    fn window(&self, client: &SpiffeId) -> Arc<Mutex<Window>> {
        if let Some(window) = self.clients.read().get(client) {
            return Arc::clone(window);
        }
        Arc::clone(self.clients.write().entry(client.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    const WINDOW: u64 = 16_000;

    fn ceilings(most: u32, stop: bool) -> Ceilings {
        Ceilings::new(CeilingSection {
            most: NonZeroU32::new(most).unwrap(),
            window: Duration::from_millis(WINDOW),
            stop,
        })
    }

    struct Client<'a>(&'a Ceilings, SpiffeId);

    impl<'a> Client<'a> {
        fn new(ceilings: &'a Ceilings, name: &str) -> Self {
            Self(ceilings, format!("spiffe://d/{name}").parse().unwrap())
        }

        fn unwraps(&self, conversations: &[&str], at: u64) -> Standing {
            let keyspace = KeyspaceId::from_bytes([1; 16]);
            let names = conversations.iter().copied();
            let now = Timestamp::from_millis(at);
            self.0.unwrap(&self.1, keyspace, names, now)
        }

        fn stopped(&self, at: u64) -> Option<u64> {
            let left = self.0.stopped(&self.1, Timestamp::from_millis(at))?;
            Some(left.as_millis() as u64)
        }
    }

    #[test]
    fn the_same_conversation_counts_once_and_each_client_for_itself() {
        let ceilings = ceilings(2, true);
        let (one, other) = (
            Client::new(&ceilings, "one"),
            Client::new(&ceilings, "other"),
        );
        for _ in 0..10 {
            assert_eq!(one.unwraps(&["a", "b"], 0), Standing::Below);
        }
        assert_eq!(other.unwraps(&["c", "d"], 0), Standing::Below);
        assert_eq!(one.unwraps(&["c"], 0), Standing::Reached);
        assert_eq!(one.unwraps(&["a"], 0), Standing::Above);
        assert!(one.stopped(0).is_some() && other.stopped(0).is_none());
        assert_eq!(ceilings.above(Timestamp::from_millis(0)), 1);
    }

    #[test]
    fn the_window_slides() {
        let ceilings = ceilings(2, true);
        let client = Client::new(&ceilings, "one");
        assert_eq!(client.unwraps(&["a"], 0), Standing::Below);
        assert_eq!(client.unwraps(&["b", "c"], 8_000), Standing::Reached);
        assert_eq!(client.stopped(WINDOW - 1), Some(1));
        // `a` has left it: two are left, as many as may be.
        assert_eq!(client.stopped(WINDOW + 1_000), Some(1_000));
        assert_eq!(client.stopped(9_000 + WINDOW), None);
        assert_eq!(client.unwraps(&["d", "e"], 9_000 + WINDOW), Standing::Below);
    }

    #[test]
    fn what_is_not_stopped_is_told_once_and_takes_no_more_memory() {
        let ceilings = ceilings(100, false);
        let client = Client::new(&ceilings, "one");
        let names: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(client.unwraps(&names, 0), Standing::Reached);
        assert_eq!(client.unwraps(&names, 1), Standing::Above);
        assert_eq!(client.stopped(1), None);
        let window = ceilings.window(&client.1);
        assert_eq!(window.lock().seen.len(), 101);
        assert_eq!(ceilings.above(Timestamp::from_millis(1)), 1);
        drop(window);
        assert_eq!(ceilings.above(Timestamp::from_millis(2 * WINDOW)), 0);
        assert!(ceilings.clients.read().is_empty());
    }
}
