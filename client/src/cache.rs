//! Keeps what was fetched while its lease lasts, at most so many; fetches once for all who ask at
//! the same time; and forgets, also what is still on its way.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use quick_cache::unsync;
use tokio::sync::OnceCell;

use crate::error::Error;

/// A value that may be kept for a time.
pub(crate) trait Leased {
    /// Whether a kept value may still be used now.
    fn usable(&self, now: Timestamp) -> bool;
}

type Flight<V> = OnceCell<Result<Arc<V>, Error>>;

pub(crate) struct LeaseCache<K, V> {
    inner: Mutex<Inner<K, V>>,
    capacity: usize,
}

struct Boarding<V> {
    flight: Arc<Flight<V>>,
    passengers: usize,
}

struct Inner<K, V> {
    entries: unsync::Cache<K, Arc<V>>,
    /// Fetches under way. Forgetting removes them: who asks later starts a new one, and what an
    /// old one brings is not kept.
    flights: HashMap<K, Boarding<V>>,
    forgettings: u64,
}

/// How often was forgotten when a fetch began; see [`LeaseCache::insert`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory(u64);

impl<K: Eq + Hash + Clone, V: Leased> LeaseCache<K, V> {
    /// A capacity of 0 keeps nothing.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            inner: Mutex::new(Inner {
                entries: unsync::Cache::new(capacity.max(1)),
                flights: HashMap::new(),
                forgettings: 0,
            }),
            capacity,
        }
    }

    /// The kept value, or what `fetch` brings. Those who wait for one fetch share its result and
    /// its failure; when the one who fetches is cancelled, the next goes on.
    pub(crate) async fn get_or_fetch(
        &self,
        key: &K,
        now: Timestamp,
        fetch: impl Future<Output = Result<V, Error>>,
    ) -> Result<Arc<V>, Error> {
        let flight = {
            let mut inner = self.inner.lock();
            if let Some(found) = inner.fresh(key, now) {
                return Ok(found);
            }
            inner.board(key)
        };
        let passenger = Passenger {
            cache: self,
            key,
            flight,
        };
        let flight = &passenger.flight;
        let result = flight
            .get_or_init(|| async { fetch.await.map(Arc::new) })
            .await;
        result.clone()
    }

    /// The kept value.
    pub(crate) fn get(&self, key: &K, now: Timestamp) -> Option<Arc<V>> {
        self.inner.lock().fresh(key, now)
    }

    /// To be taken before a fetch whose result goes to [`Self::insert`].
    pub(crate) fn memory(&self) -> Memory {
        Memory(self.inner.lock().forgettings)
    }

    /// Keeps a value, unless something was forgotten since `began`: it might be that.
    pub(crate) fn insert(&self, key: K, value: V, began: Memory) {
        let mut inner = self.inner.lock();
        if self.capacity > 0 && inner.forgettings == began.0 {
            inner.entries.insert(key, Arc::new(value));
        }
    }

    /// Drops this very value.
    pub(crate) fn discard(&self, key: &K, value: &Arc<V>) {
        self.inner
            .lock()
            .entries
            .remove_if(key, |kept| Arc::ptr_eq(kept, value));
    }

    /// Drops all whose key is named, and what is on its way for them.
    pub(crate) fn forget(&self, named: impl Fn(&K) -> bool) {
        let mut inner = self.inner.lock();
        inner.forgettings += 1;
        inner.entries.retain(|key, _| !named(key));
        inner.flights.retain(|key, _| !named(key));
    }

    /// Drops all whose lease has ended.
    pub(crate) fn purge(&self, now: Timestamp) {
        self.inner
            .lock()
            .entries
            .retain(|_, value| value.usable(now));
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.inner.lock().entries.len()
    }
}

impl<K: Eq + Hash + Clone, V: Leased> Inner<K, V> {
    fn fresh(&mut self, key: &K, now: Timestamp) -> Option<Arc<V>> {
        let kept = self.entries.get(key)?;
        if kept.usable(now) {
            return Some(Arc::clone(kept));
        }
        self.entries.remove(key);
        None
    }

    fn board(&mut self, key: &K) -> Arc<Flight<V>> {
        let boarding = self.flights.entry(key.clone()).or_insert_with(|| Boarding {
            flight: Arc::default(),
            passengers: 0,
        });
        boarding.passengers += 1;
        Arc::clone(&boarding.flight)
    }
}

/// One who waits for a flight. The first to leave a finished flight keeps its value; the last to
/// leave an unfinished one takes it away.
struct Passenger<'a, K: Eq + Hash + Clone, V: Leased> {
    cache: &'a LeaseCache<K, V>,
    key: &'a K,
    flight: Arc<Flight<V>>,
}

impl<K: Eq + Hash + Clone, V: Leased> Drop for Passenger<'_, K, V> {
    fn drop(&mut self) {
        let inner = &mut *self.cache.inner.lock();
        let Some(boarding) = inner.flights.get_mut(self.key) else {
            return; // forgotten, or landed already
        };
        if !Arc::ptr_eq(&boarding.flight, &self.flight) {
            return; // the same, and another flight has begun since
        }
        boarding.passengers -= 1;
        match self.flight.get() {
            Some(Ok(value)) if self.cache.capacity > 0 => {
                inner.entries.insert(self.key.clone(), Arc::clone(value));
            }
            None if boarding.passengers > 0 => return,
            _ => {}
        }
        inner.flights.remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use super::*;

    struct Until(Timestamp, u32);

    impl Leased for Until {
        fn usable(&self, now: Timestamp) -> bool {
            now < self.0
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn cache(capacity: usize) -> Arc<LeaseCache<&'static str, Until>> {
        Arc::new(LeaseCache::new(capacity))
    }

    async fn number(
        cache: &LeaseCache<&'static str, Until>,
        key: &'static str,
        now: i64,
        value: u32,
    ) -> u32 {
        let fetch = async { Ok(Until(at(10), value)) };
        cache.get_or_fetch(&key, at(now), fetch).await.unwrap().1
    }

    #[tokio::test]
    async fn kept_until_the_lease_ends_and_not_at_its_end() {
        let cache = cache(10);
        assert_eq!(number(&cache, "a", 0, 1).await, 1);
        assert_eq!(number(&cache, "a", 9, 2).await, 1);
        assert_eq!(number(&cache, "a", 10, 3).await, 3);
    }

    #[tokio::test]
    async fn purge_drops_what_has_ended() {
        let cache = cache(10);
        let fetch = async { Ok(Until(at(10), 1)) };
        let value = Arc::downgrade(&cache.get_or_fetch(&"a", at(0), fetch).await.unwrap());
        cache.purge(at(9));
        assert!(value.upgrade().is_some());
        cache.purge(at(10));
        assert!(value.upgrade().is_none());
    }

    #[tokio::test]
    async fn never_more_than_its_capacity_and_with_none_nothing() {
        let full = cache(3);
        let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
        for key in keys {
            number(&full, key, 0, 1).await;
        }
        assert!((1..=3).contains(&full.len()), "{}", full.len());
        let none = cache(0);
        assert_eq!(number(&none, "a", 0, 1).await, 1);
        assert_eq!(number(&none, "a", 0, 2).await, 2);
        none.insert("b", Until(at(10), 3), none.memory());
        assert!(none.get(&"b", at(0)).is_none());
    }

    #[tokio::test]
    async fn one_fetch_for_all_who_wait_and_its_failure_too() {
        for fails in [false, true] {
            let cache = cache(10);
            let fetches = Arc::new(AtomicU32::new(0));
            let ask = || {
                let (cache, fetches) = (Arc::clone(&cache), Arc::clone(&fetches));
                tokio::spawn(async move {
                    let fetch = async {
                        fetches.fetch_add(1, SeqCst);
                        tokio::task::yield_now().await;
                        match fails {
                            true => Err(Error::unexpected("down")),
                            false => Ok(Until(at(10), 1)),
                        }
                    };
                    cache.get_or_fetch(&"a", at(0), fetch).await.is_err()
                })
            };
            let asked: Vec<_> = (0..20).map(|_| ask()).collect();
            for one in asked {
                assert_eq!(one.await.unwrap(), fails);
            }
            assert_eq!(fetches.load(SeqCst), 1);
            assert!(cache.inner.lock().flights.is_empty());
        }
    }

    #[tokio::test]
    async fn what_is_on_its_way_is_forgotten_too() {
        let cache = cache(10);
        let (land, landed) = tokio::sync::oneshot::channel::<()>();
        let early = tokio::spawn({
            let cache = Arc::clone(&cache);
            async move {
                let fetch = async {
                    landed.await.unwrap();
                    Ok(Until(at(10), 1))
                };
                cache.get_or_fetch(&"a", at(0), fetch).await.unwrap().1
            }
        });
        tokio::task::yield_now().await;
        let began = cache.memory();
        cache.forget(|key| *key == "a");
        let own = number(&cache, "a", 0, 2);
        let own = tokio::time::timeout(std::time::Duration::from_secs(5), own).await;
        assert_eq!(own, Ok(2), "a flight of its own");
        land.send(()).unwrap();
        assert_eq!(early.await.unwrap(), 1);
        cache.insert("a", Until(at(10), 3), began);
        assert_eq!(number(&cache, "a", 0, 4).await, 2, "the old is not kept");
    }

    #[tokio::test]
    async fn a_cancelled_fetch_leaves_nothing_and_passes_on() {
        let cache = cache(10);
        let stuck = cache.get_or_fetch(&"a", at(0), std::future::pending());
        assert!(
            tokio::time::timeout(std::time::Duration::ZERO, stuck)
                .await
                .is_err()
        );
        assert!(cache.inner.lock().flights.is_empty());
        assert_eq!(number(&cache, "a", 0, 7).await, 7);
    }
}
