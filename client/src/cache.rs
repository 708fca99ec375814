//! A cache of values with a lease. It holds a limited number of values until their leases end. Callers
//! that need the same key at the same time share one fetch. Forgetting a key also covers the fetches
//! that are in flight.
//!
//! Not `moka`: it drops what has expired or was forgotten some time later, so data keys would stay in memory after
//! their leases, and it measures time by its own clock and not by the one that leases are given in.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use quick_cache::unsync;
use tokio::sync::OnceCell;

use crate::error::Error;

/// A value that the cache may keep for a limited time.
pub(crate) trait Leased {
    /// Whether the value may still be used at `now`.
    fn usable(&self, now: Timestamp) -> bool;
}

type Fetched<V> = OnceCell<Result<Arc<V>, Error>>;

pub(crate) struct LeaseCache<K, V> {
    inner: Mutex<Inner<K, V>>,
    capacity: usize,
}

/// A fetch that has not ended, and the number of callers that wait for it.
struct InFlight<V> {
    fetched: Arc<Fetched<V>>,
    waiters: usize,
}

struct Inner<K, V> {
    entries: unsync::Cache<K, Arc<V>>,
    /// Forgetting a key removes its fetch: a later caller starts a new fetch, and the result of the
    /// removed one is not kept.
    in_flight: HashMap<K, InFlight<V>>,
    epoch: CacheEpoch,
}

/// Counts the calls of [`LeaseCache::forget`]; see [`LeaseCache::insert`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CacheEpoch(u64);

impl<K: Eq + Hash + Clone, V: Leased> LeaseCache<K, V> {
    /// A capacity of 0 keeps nothing.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            inner: Mutex::new(Inner {
                entries: unsync::Cache::new(capacity.max(1)),
                in_flight: HashMap::new(),
                epoch: CacheEpoch(0),
            }),
            capacity,
        }
    }

    /// The cached value, or the result of `fetch`. Callers that wait for one fetch share its result,
    /// also a failure. If the caller that fetches is cancelled, the next waiter runs its own fetch.
    pub(crate) async fn get_or_fetch(
        &self,
        key: &K,
        now: Timestamp,
        fetch: impl Future<Output = Result<V, Error>>,
    ) -> Result<Arc<V>, Error> {
        let fetched = {
            let mut inner = self.inner.lock();
            if let Some(found) = inner.fresh(key, now) {
                return Ok(found);
            }
            inner.join(key)
        };
        let waiter = Waiter {
            cache: self,
            key,
            fetched,
        };
        let fetch = || async { fetch.await.map(Arc::new) };
        waiter.fetched.get_or_init(fetch).await.clone()
    }

    /// The cached value, if its lease has not ended.
    pub(crate) fn get(&self, key: &K, now: Timestamp) -> Option<Arc<V>> {
        self.inner.lock().fresh(key, now)
    }

    /// The present epoch: read it before a fetch whose result goes to [`Self::insert`].
    pub(crate) fn epoch(&self) -> CacheEpoch {
        self.inner.lock().epoch
    }

    /// Keeps a value that was fetched since `began`. If anything was forgotten since then, the value is
    /// dropped, because it may be the forgotten one.
    pub(crate) fn insert(&self, key: K, value: V, began: CacheEpoch) {
        let mut inner = self.inner.lock();
        if self.capacity > 0 && inner.epoch == began {
            inner.entries.insert(key, Arc::new(value));
        }
    }

    /// Drops the value of `key` if it is this one.
    pub(crate) fn discard(&self, key: &K, value: &Arc<V>) {
        self.inner
            .lock()
            .entries
            .remove_if(key, |kept| Arc::ptr_eq(kept, value));
    }

    /// Drops every value whose key `named` selects, and the fetches in flight for those keys.
    pub(crate) fn forget(&self, named: impl Fn(&K) -> bool) {
        let mut inner = self.inner.lock();
        inner.epoch.0 += 1;
        inner.entries.retain(|key, _| !named(key));
        inner.in_flight.retain(|key, _| !named(key));
    }

    /// Drops every value whose lease has ended.
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

    /// Waits for the fetch of this key that is in flight, or begins one.
    fn join(&mut self, key: &K) -> Arc<Fetched<V>> {
        let in_flight = self.in_flight.entry(key.clone());
        let in_flight = in_flight.or_insert_with(|| InFlight {
            fetched: Arc::default(),
            waiters: 0,
        });
        in_flight.waiters += 1;
        Arc::clone(&in_flight.fetched)
    }
}

/// A caller that waits for a fetch. The first waiter that is dropped after the fetch has ended puts the
/// value into the cache. The last waiter that is dropped before that removes the fetch.
struct Waiter<'a, K: Eq + Hash + Clone, V: Leased> {
    cache: &'a LeaseCache<K, V>,
    key: &'a K,
    fetched: Arc<Fetched<V>>,
}

impl<K: Eq + Hash + Clone, V: Leased> Drop for Waiter<'_, K, V> {
    fn drop(&mut self) {
        let inner = &mut *self.cache.inner.lock();
        let Some(in_flight) = inner.in_flight.get_mut(self.key) else {
            return; // the key was forgotten, or another waiter has kept the value
        };
        if !Arc::ptr_eq(&in_flight.fetched, &self.fetched) {
            return; // the same, and another fetch has begun since
        }
        in_flight.waiters -= 1;
        match self.fetched.get() {
            Some(Ok(value)) if self.cache.capacity > 0 => {
                inner.entries.insert(self.key.clone(), Arc::clone(value));
            }
            None if in_flight.waiters > 0 => return,
            _ => {}
        }
        inner.in_flight.remove(self.key);
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
        none.insert("b", Until(at(10), 3), none.epoch());
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
            assert!(cache.inner.lock().in_flight.is_empty());
        }
    }

    #[tokio::test]
    async fn what_is_on_its_way_is_forgotten_too() {
        let cache = cache(10);
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let early = tokio::spawn({
            let cache = Arc::clone(&cache);
            async move {
                let fetch = async {
                    ended.await.unwrap();
                    Ok(Until(at(10), 1))
                };
                cache.get_or_fetch(&"a", at(0), fetch).await.unwrap().1
            }
        });
        tokio::task::yield_now().await;
        let began = cache.epoch();
        cache.forget(|key| *key == "a");
        let own = number(&cache, "a", 0, 2);
        let own = tokio::time::timeout(std::time::Duration::from_secs(5), own).await;
        assert_eq!(own, Ok(2), "a fetch of its own");
        end.send(()).unwrap();
        assert_eq!(early.await.unwrap(), 1);
        cache.insert("a", Until(at(10), 3), began);
        assert_eq!(
            number(&cache, "a", 0, 4).await,
            2,
            "the old value is not kept"
        );
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
        assert!(cache.inner.lock().in_flight.is_empty());
        assert_eq!(number(&cache, "a", 0, 7).await, 7);
    }
}
