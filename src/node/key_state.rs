//! The keys that this node has in memory: the keyring, which is replaced as a whole, and the cache of pages.
//! Before an old root is destroyed the node wipes what it has below that root.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use lethe_core::batch::{BatchError, Halt, LeaseHolders, NewState, check_keyspaces};
use lethe_core::directory::{Commitments, Directory, Entry};
use lethe_core::identity::DeploymentId;
use lethe_core::keyring::{Keyring, LiveKeyspace, LiveVersion};
use lethe_core::keyspace::KeyspaceName;
use lethe_core::page_cache::{CacheLimits, PageCache, TreeDelta};
use lethe_core::ports::{Clock, HsmError, KeyspaceRow, Store, StoreError, VersionRow};
use lethe_core::refusals::Refusals;
use lethe_core::secret::Secret32;
use lethe_core::time::Expiry;
use lethe_core::tree::{AddressKey, PageReference, TreeId};
use parking_lot::Mutex;

/// From one check to the next, whether an old keyring is still in use.
const CHECK_INTERVAL: Duration = Duration::from_micros(100);
/// How long a call may use a keyring. It is far longer than any call needs.
const MAX_USE: Duration = Duration::from_secs(60);
/// The time in which a keyring is replaced, in milliseconds: keys are issued by the old rules until then.
const REPLACE_TIME: u64 = 1_000;
/// How long to wait for the next keyring when a page was just replaced.
const REPLACED_WAIT: Duration = Duration::from_millis(1);

/// The keyring, the cache of pages and the refusals of this node.
pub struct KeyState {
    /// The present keyring.
    keyring: ArcSwap<Keyring>,
    /// The cache of pages and tails.
    pub pages: Arc<PageCache>,
    /// The refusals of accepted erasures.
    pub refusals: Arc<Refusals>,
    /// The sealed bytes of pages and tails that batches have written since the start.
    page_bytes: AtomicU64,
    /// Keyrings that were replaced and may still be in use; locked while the keyring is replaced.
    replaced: Mutex<Vec<Weak<Keyring>>>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl KeyState {
    /// A state without keys.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, limits: CacheLimits) -> Self {
        let pages = Arc::new(PageCache::new(limits));
        let refusals = Arc::<Refusals>::default();
        let keyring = Keyring {
            sequence: 0,
            keyspaces: HashMap::new(),
            buckets: HashMap::new(),
            pages: Arc::clone(&pages),
            refusals: Arc::clone(&refusals),
        };
        Self {
            keyring: ArcSwap::from_pointee(keyring),
            pages,
            refusals,
            page_bytes: AtomicU64::new(0),
            replaced: Mutex::default(),
            store,
            clock,
        }
    }

    /// The present keyring. Callers must not hold it while they wait for anything slow.
    #[must_use]
    pub fn keyring(&self) -> Arc<Keyring> {
        self.keyring.load_full()
    }

    /// The sealed bytes of pages and tails that batches have written since the start.
    #[must_use]
    pub fn page_bytes(&self) -> u64 {
        self.page_bytes.load(Ordering::Relaxed)
    }

    /// Loads a page that a lookup in the state of `sequence` needs. Afterwards the caller takes a new keyring
    /// and looks up again, because that state may be replaced.
    ///
    /// # Errors
    /// Of the store, also if it is damaged.
    pub async fn load(
        &self,
        deployment: DeploymentId,
        page: &PageReference,
        sequence: u64,
    ) -> Result<(), StoreError> {
        let wanted = [(page.prefix(), page.row())];
        let mut rows = self.store.tree_rows(page.tree(), &wanted).await?;
        let row = rows.pop().flatten();
        let loaded = row.map(|row| page.open(deployment, &row));
        match loaded {
            Some(Ok(loaded)) => {
                self.pages.insert(loaded, sequence);
                Ok(())
            }
            // A batch has replaced the page, and the new keyring comes soon.
            _ if self.is_replaced(sequence).await? => {
                tokio::time::sleep(REPLACED_WAIT).await;
                Ok(())
            }
            _ => Err(StoreError::Corrupt(
                "a page of the forgetting tree is missing or does not open".into(),
            )),
        }
    }

    /// Whether a batch has replaced the state of `sequence`.
    async fn is_replaced(&self, sequence: u64) -> Result<bool, StoreError> {
        let meta = self.store.meta().await?;
        Ok(meta.is_none_or(|meta| meta.sequence != sequence))
    }

    /// Adds bucket keys.
    pub fn add_buckets(&self, keys: impl IntoIterator<Item = (Expiry, Arc<Secret32>)>) {
        let mut keys = keys.into_iter().peekable();
        if keys.peek().is_some() {
            self.replace(|keyring| keyring.buckets.extend(keys));
        }
    }

    /// Drops bucket keys that have expired.
    pub fn drop_buckets(&self, expired: impl Fn(Expiry) -> bool) {
        let any = self.keyring().buckets.keys().any(|expiry| expired(*expiry));
        if any {
            self.replace(|keyring| keyring.buckets.retain(|expiry, _| !expired(*expiry)));
        }
    }

    /// Replaces the keyring. One caller at a time does this, so no change is lost.
    fn replace(&self, change: impl FnOnce(&mut Keyring)) {
        let mut replaced = self.replaced.lock();
        let present = self.keyring();
        let mut next = Keyring {
            sequence: present.sequence,
            keyspaces: present.keyspaces.clone(),
            buckets: present.buckets.clone(),
            pages: Arc::clone(&self.pages),
            refusals: Arc::clone(&self.refusals),
        };
        drop(present);
        change(&mut next);
        let old = self.keyring.swap(Arc::new(next));
        replaced.retain(|keyring| keyring.strong_count() > 0);
        replaced.push(Arc::downgrade(&old));
    }

    /// Waits until no call uses an old keyring. Then the secrets of old keyrings are wiped.
    ///
    /// # Errors
    /// If a call uses one for longer than any call may take.
    pub async fn until_unused(&self) -> Result<(), BatchError> {
        let mut waited = Duration::ZERO;
        loop {
            {
                let mut replaced = self.replaced.lock();
                replaced.retain(|keyring| keyring.strong_count() > 0);
                if replaced.is_empty() {
                    return Ok(());
                }
            }
            if waited >= MAX_USE {
                let why = "a request holds on to an old keyring".to_owned();
                return Err(HsmError::Unavailable(why).into());
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
            waited += CHECK_INTERVAL;
        }
    }

    /// All keyspaces from the store. The tables and the directory must have the same versions and settings.
    async fn keyspaces(
        &self,
        directory: &Directory,
    ) -> Result<HashMap<KeyspaceName, Arc<LiveKeyspace>>, BatchError> {
        let rows = self.store.keyspaces().await?;
        check_keyspaces(&rows, directory)?;
        let versions: usize = rows.iter().map(|row| row.versions.len()).sum();
        if versions != directory.entries().len() {
            return Err(Halt::DirectoryDisagrees.into());
        }
        // Until the keyring is replaced keys are issued by the old rules.
        let now = self.clock.now().saturating_add(REPLACE_TIME);
        let live = rows.iter().map(|row| {
            let moved = directory
                .commitments()
                .map(|it| it.with_adjusted_times(row, now));
            let keyspace = live_keyspace(moved.as_ref().unwrap_or(row), directory)?;
            Some((row.name.clone(), Arc::new(keyspace)))
        });
        let live: Option<HashMap<_, _>> = live.collect();
        Ok(live.ok_or(Halt::DirectoryDisagrees)?)
    }
}

#[async_trait]
impl LeaseHolders for KeyState {
    async fn advance(&self, state: NewState<'_>) -> Result<(), BatchError> {
        let NewState {
            sequence,
            directory,
            deltas,
            keyspaces_changed,
            dropped,
        } = state;
        let present = self.keyring();
        let keyspaces = if deltas.is_some() && !keyspaces_changed {
            let changed: Vec<TreeId> = deltas.iter().flatten().map(|delta| delta.tree).collect();
            with_roots(&present, directory, &changed)
        } else {
            self.keyspaces(directory).await?
        };
        drop(present);
        let bytes = deltas.iter().flatten().map(|delta| delta.bytes).sum();
        self.page_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.replace(|keyring| {
            keyring.sequence = sequence;
            keyring.keyspaces = keyspaces;
        });
        self.forget(sequence, deltas, &dropped);
        self.until_unused().await
    }
}

impl KeyState {
    /// Wipes what the new state replaces. Afterwards the cache refuses pages of older states.
    fn forget(&self, sequence: u64, deltas: Option<Vec<TreeDelta>>, dropped: &[TreeId]) {
        match deltas {
            Some(deltas) => self.pages.advance(sequence, deltas, dropped),
            None => self.pages.restart(sequence),
        }
    }
}

/// The keyspaces with new tops of the covers of some trees.
fn with_roots(
    keyring: &Keyring,
    directory: &Directory,
    changed: &[TreeId],
) -> HashMap<KeyspaceName, Arc<LiveKeyspace>> {
    let mut keyspaces = keyring.keyspaces.clone();
    for keyspace in keyspaces.values_mut() {
        let touched = |version: &Arc<LiveVersion>| changed.contains(&version.tree);
        if !keyspace.versions.iter().any(touched) {
            continue;
        }
        let version = |version: &Arc<LiveVersion>| {
            let entry = directory.entry(version.tree.keyspace, version.tree.version);
            match entry.filter(|_| touched(version)) {
                Some(entry) => Arc::new(LiveVersion {
                    root: entry.root.copied(),
                    address_key: Arc::clone(&version.address_key),
                    ..**version
                }),
                None => Arc::clone(version),
            }
        };
        *keyspace = Arc::new(LiveKeyspace {
            name: keyspace.name.clone(),
            versions: keyspace.versions.iter().map(version).collect(),
            deployment_key: keyspace.deployment_key.clone(),
            ..**keyspace
        });
    }
    keyspaces
}

fn live_keyspace(row: &KeyspaceRow, directory: &Directory) -> Option<LiveKeyspace> {
    let version = |version: &VersionRow| {
        let entry: &Entry = directory.entry(row.id, version.version)?;
        Some(Arc::new(LiveVersion {
            tree: entry.tree_id(),
            created_at: version.created_at,
            address_key: Arc::new(AddressKey::new(&entry.address_key)),
            root: entry.root.copied(),
        }))
    };
    Some(LiveKeyspace {
        id: row.id,
        name: row.name.clone(),
        policy: row.policy,
        leases_until: row.leases_until,
        expiries_until: row.expiries_until,
        minimum_version: row.minimum_version,
        versions: row.versions.iter().map(version).collect::<Option<_>>()?,
        deployment_key: directory.commitments().map(Commitments::key),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use lethe_store_sqlite::SqliteStore;

    use super::*;
    use crate::node::clock::SystemClock;

    async fn key_state(folder: &Path) -> Arc<KeyState> {
        let store = SqliteStore::create(folder.join("lethe.db")).await.unwrap();
        let (store, clock) = (Arc::new(store), Arc::new(SystemClock));
        Arc::new(KeyState::new(store, clock, CacheLimits::default()))
    }

    /// The node drops what has expired while the leader adds buckets.
    #[tokio::test]
    async fn changes_of_two_tasks_are_not_lost() {
        const ROUNDS: u64 = 5_000;
        let folder = tempfile::tempdir().unwrap();
        let keys = key_state(folder.path()).await;
        let bucket = |number| {
            let secret = Arc::new(Secret32::filled(|bytes| bytes.fill(1)));
            (Expiry::from_seconds(number), secret)
        };
        let (even, odd) = (Arc::clone(&keys), Arc::clone(&keys));
        let add = |keys: Arc<KeyState>, first: u64| {
            std::thread::spawn(move || {
                for number in (first..ROUNDS).step_by(2) {
                    keys.add_buckets([bucket(number)]);
                    keys.drop_buckets(|it| it == Expiry::from_seconds(number));
                    assert!(!keys.keyring().buckets.contains_key(&bucket(number).0));
                }
                keys.add_buckets([bucket(ROUNDS + first)]);
            })
        };
        for thread in [add(even, 0), add(odd, 1)] {
            thread.join().unwrap();
        }
        let left = keys.keyring();
        let mut left: Vec<_> = left.buckets.keys().map(|it| it.as_seconds()).collect();
        left.sort_unstable();
        assert_eq!(left, [ROUNDS, ROUNDS + 1]);
    }
}
