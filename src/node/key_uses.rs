//! How often each client used each key version, and when last. An operator sees from it whether a
//! version can be dropped. The counts are in memory and are added to the store from time to time: a crash
//! loses the last ones.

use std::collections::HashMap;
use std::sync::Arc;

use lethe_core::identity::KeyspaceId;
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::{KeyUse, KeyUseStore, StoreError, Uses};
use lethe_core::time::Timestamp;
use lethe_core::tree::TreeId;
use parking_lot::Mutex;

use crate::config::SpiffeId;

/// Clients of one version that have a count of their own. All others share one count without a name.
const MAX_CLIENTS: usize = 1_000;

/// How one client used one version: what the store has, and what is to be added to it.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    stored: Uses,
    pending: Uses,
}

type Clients = HashMap<Box<str>, Counted>;

/// The counts of all versions.
pub struct KeyUses {
    store: Arc<dyn KeyUseStore>,
    versions: Mutex<HashMap<(KeyspaceId, KeyVersion), Clients>>,
}

impl KeyUses {
    /// Reads the counts that the store has.
    ///
    /// # Errors
    /// Of the store.
    pub async fn open(store: Arc<dyn KeyUseStore>) -> Result<Self, StoreError> {
        let mut versions: HashMap<_, Clients> = HashMap::new();
        for found in store.key_uses().await? {
            let counted = Counted {
                stored: found.uses,
                pending: Uses::default(),
            };
            let clients = versions.entry((found.keyspace, found.version));
            clients.or_default().insert(found.client, counted);
        }
        Ok(Self {
            store,
            versions: Mutex::new(versions),
        })
    }

    /// Counts data keys of one version that were issued to a client.
    pub fn issued(&self, tree: TreeId, client: &SpiffeId, count: u64, now: Timestamp) {
        let uses = Uses {
            issued: count,
            last_issued: Some(now),
            ..Uses::default()
        };
        self.add(tree, client.as_str(), uses);
    }

    /// Counts data keys of one version that were unwrapped for a client.
    pub fn unwrapped(&self, tree: TreeId, client: &SpiffeId, count: u64, now: Timestamp) {
        let uses = Uses {
            unwrapped: count,
            last_unwrapped: Some(now),
            ..Uses::default()
        };
        self.add(tree, client.as_str(), uses);
    }

    fn add(&self, tree: TreeId, client: &str, uses: Uses) {
        let mut versions = self.versions.lock();
        let clients = versions.entry((tree.keyspace, tree.version)).or_default();
        if let Some(counted) = clients.get_mut(client) {
            counted.pending = counted.pending.and(uses);
            return;
        }
        let client = if clients.len() < MAX_CLIENTS {
            client
        } else {
            ""
        };
        let counted = clients.entry(client.into()).or_default();
        counted.pending = counted.pending.and(uses);
    }

    /// How each client used a version; the client with the latest use is first.
    #[must_use]
    pub fn by_client(&self, tree: TreeId) -> Vec<(Box<str>, Uses)> {
        let versions = self.versions.lock();
        let clients = versions.get(&(tree.keyspace, tree.version));
        let clients = clients.into_iter().flatten();
        let mut all: Vec<_> = clients
            .map(|(client, counted)| (client.clone(), counted.stored.and(counted.pending)))
            .collect();
        all.sort_by_key(|(_, uses)| std::cmp::Reverse(uses.last_issued.max(uses.last_unwrapped)));
        all
    }

    /// How often keys of a version were used by all clients together, and when last.
    #[must_use]
    pub fn total(&self, tree: TreeId) -> Uses {
        let versions = self.versions.lock();
        let clients = versions.get(&(tree.keyspace, tree.version));
        let counted = clients.into_iter().flat_map(Clients::values);
        counted.fold(Uses::default(), |sum, it| {
            sum.and(it.stored).and(it.pending)
        })
    }

    /// Adds new counts to the store, and drops the counts of versions for which `is_live` is false.
    ///
    /// # Errors
    /// Of the store; the counts stay for the next time.
    pub async fn flush(&self, is_live: impl Fn(TreeId) -> bool) -> Result<(), StoreError> {
        let uses = self.take_pending(is_live);
        if uses.is_empty() {
            return Ok(());
        }
        let added = self.store.add_key_uses(&uses).await;
        if added.is_err() {
            self.put_back(&uses);
        }
        added
    }

    fn take_pending(&self, is_live: impl Fn(TreeId) -> bool) -> Vec<KeyUse> {
        let mut versions = self.versions.lock();
        versions.retain(|(keyspace, version), _| {
            let (keyspace, version) = (*keyspace, *version);
            is_live(TreeId { keyspace, version })
        });
        let mut uses = Vec::new();
        for ((keyspace, version), clients) in versions.iter_mut() {
            for (client, counted) in clients {
                let pending = std::mem::take(&mut counted.pending);
                if pending.is_empty() {
                    continue;
                }
                counted.stored = counted.stored.and(pending);
                uses.push(KeyUse {
                    keyspace: *keyspace,
                    version: *version,
                    client: client.clone(),
                    uses: pending,
                });
            }
        }
        uses
    }

    /// Undoes [`Self::take_pending`]. The stored times stay: the pending ones are never earlier.
    fn put_back(&self, uses: &[KeyUse]) {
        let mut versions = self.versions.lock();
        for one in uses {
            let clients = versions.get_mut(&(one.keyspace, one.version));
            let Some(counted) = clients.and_then(|it| it.get_mut(&one.client)) else {
                continue;
            };
            counted.stored.issued = counted.stored.issued.saturating_sub(one.uses.issued);
            counted.stored.unwrapped = counted.stored.unwrapped.saturating_sub(one.uses.unwrapped);
            counted.pending = counted.pending.and(one.uses);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use async_trait::async_trait;

    use super::*;

    #[derive(Default)]
    struct MemoryStore {
        rows: Mutex<Vec<KeyUse>>,
        fails: AtomicBool,
    }

    #[async_trait]
    impl KeyUseStore for MemoryStore {
        async fn key_uses(&self) -> Result<Vec<KeyUse>, StoreError> {
            Ok(self.rows.lock().clone())
        }

        async fn add_key_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
            if self.fails.load(Ordering::Relaxed) {
                return Err(StoreError::Unavailable("away".into()));
            }
            self.rows.lock().extend_from_slice(uses);
            Ok(())
        }
    }

    fn tree(keyspace: u8) -> TreeId {
        TreeId {
            keyspace: KeyspaceId::from_bytes([keyspace; 16]),
            version: KeyVersion::FIRST,
        }
    }

    fn client(number: usize) -> SpiffeId {
        format!("spiffe://example.org/c{number}").parse().unwrap()
    }

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[tokio::test]
    async fn what_a_failed_flush_took_is_neither_lost_nor_counted_twice() {
        let store = Arc::new(MemoryStore::default());
        let uses = KeyUses::open(Arc::clone(&store) as _).await.unwrap();
        uses.issued(tree(1), &client(1), 2, at(5));
        uses.unwrapped(tree(1), &client(1), 3, at(6));
        let all = Uses {
            issued: 2,
            last_issued: Some(at(5)),
            unwrapped: 3,
            last_unwrapped: Some(at(6)),
        };
        store.fails.store(true, Ordering::Relaxed);
        assert!(uses.flush(|_| true).await.is_err());
        assert_eq!(uses.total(tree(1)), all);
        store.fails.store(false, Ordering::Relaxed);
        for _ in 0..2 {
            uses.flush(|_| true).await.unwrap();
        }
        assert_eq!(uses.total(tree(1)), all);
        assert_eq!(store.rows.lock().len(), 1, "once");
        let next = KeyUses::open(store as _).await.unwrap();
        assert_eq!(next.total(tree(1)), all);
    }

    #[tokio::test]
    async fn versions_that_are_gone_are_forgotten_and_clients_are_bounded() {
        let uses = KeyUses::open(Arc::new(MemoryStore::default()) as _)
            .await
            .unwrap();
        for number in 0..MAX_CLIENTS + 500 {
            uses.issued(tree(1), &client(number), 1, at(number as u64));
        }
        uses.issued(tree(2), &client(0), 1, at(1));
        assert_eq!(uses.by_client(tree(1)).len(), MAX_CLIENTS + 1);
        assert_eq!(uses.total(tree(1)).issued, MAX_CLIENTS as u64 + 500);
        let (newest, _) = &uses.by_client(tree(1))[0];
        assert_eq!(&**newest, "", "the clients without a count of their own");
        uses.flush(|it| it == tree(2)).await.unwrap();
        assert!(uses.by_client(tree(1)).is_empty());
        assert_eq!(uses.by_client(tree(2)).len(), 1);
    }
}
