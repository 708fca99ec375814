//! What this node has in memory of the deployment: the keyring, replaced whole, and the pages
//! below it. As the only holder of a lease it forgets before an old root is destroyed.

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

/// Between two looks whether an old keyring is still in use.
const LOOK: Duration = Duration::from_micros(100);
/// Uses of a keyring are far shorter than a request may take.
const LONGEST_USE: Duration = Duration::from_secs(60);
/// Between a look at the clock and the new keyring, in milliseconds, while the change is not confirmed.
const REPLACING: u64 = 1_000;
/// A page that is just being replaced: ask again with the next keyring.
const REPLACED: Duration = Duration::from_millis(1);

/// See the module.
pub struct KeyState {
    /// All that opens now.
    keyring: ArcSwap<Keyring>,
    /// Pages and tails in memory.
    pub pages: Arc<PageCache>,
    /// What is refused already.
    pub refusals: Arc<Refusals>,
    /// Sealed bytes of pages and tails that batches wrote.
    page_bytes: AtomicU64,
    /// Keyrings that were replaced and may still be looked at.
    replaced: Mutex<Vec<Weak<Keyring>>>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl KeyState {
    /// Nothing yet.
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

    /// One state of the world, for one look: not to be held while waiting for anything slow.
    #[must_use]
    pub fn keyring(&self) -> Arc<Keyring> {
        self.keyring.load_full()
    }

    /// Sealed bytes of pages and tails that batches have written since the start.
    #[must_use]
    pub fn page_bytes(&self) -> u64 {
        self.page_bytes.load(Ordering::Relaxed)
    }

    /// Loads a page that a look under the state of `sequence` misses. Afterwards look again, with
    /// a new keyring: that state may be over.
    ///
    /// # Errors
    /// Of the store, and when it is damaged.
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
            // A batch has replaced it, and its keyring is about to come.
            _ if self.is_over(sequence).await? => {
                tokio::time::sleep(REPLACED).await;
                Ok(())
            }
            _ => Err(StoreError::Corrupt(
                "a page of the forgetting tree is missing or does not open".into(),
            )),
        }
    }

    async fn is_over(&self, sequence: u64) -> Result<bool, StoreError> {
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

    /// One task replaces the keyring, so nothing is lost in between.
    fn replace(&self, change: impl FnOnce(&mut Keyring)) {
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
        let mut replaced = self.replaced.lock();
        replaced.retain(|keyring| keyring.strong_count() > 0);
        replaced.push(Arc::downgrade(&old));
    }

    /// Waits until nobody looks anything up under any keyring but the present one: its secrets
    /// are wiped then.
    ///
    /// # Errors
    /// When somebody does for far too long.
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
            if waited >= LONGEST_USE {
                let why = "a request holds on to an old keyring".to_owned();
                return Err(HsmError::Unavailable(why).into());
            }
            tokio::time::sleep(LOOK).await;
            waited += LOOK;
        }
    }

    /// All keyspaces anew: tables and directory must name the same versions and settings.
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
        // Until the keyring is replaced keys go out by the rules before.
        let now = self.clock.now().saturating_add(REPLACING);
        let live = rows.iter().map(|row| {
            let moved = directory.commitments().map(|it| it.moved_on(row, now));
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
    /// Drops and wipes what the new state replaces; nothing of an older one gets in afterwards.
    fn forget(&self, sequence: u64, deltas: Option<Vec<TreeDelta>>, dropped: &[TreeId]) {
        match deltas {
            Some(deltas) => self.pages.advance(sequence, deltas, dropped),
            None => self.pages.restart(sequence),
        }
    }
}

/// The keyspaces as they are, but for where the covers of some trees begin.
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
