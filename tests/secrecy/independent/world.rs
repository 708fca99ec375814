//! A store filled by the core alone, without a service: roots are made here, so that each may be
//! seized or gone as a test likes.

use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand;
use lethe_core::clock::Mark;
use lethe_core::directory::{Directory, Entry, root_aad};
use lethe_core::identity::{DeploymentId, HsmKeyId, KeyspaceId};
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::{
    BatchCommit, BatchStore, DeploymentStore, Entropy, EntropyError, Fulfilled, KeyspaceChange,
    MetaRow, RootShare, SealedSecret, TreeChange, TreeStore, VersionRow,
};
use lethe_core::secret::Secret32;
use lethe_core::time::Timestamp;
use lethe_core::tree::{Address, CoverRoot, KeptPages, Lookup, PageVersion, Puncture, TreeId};
use lethe_store_sqlite::SqliteStore;
use lethe_testkit::store_contract::keyspace;
use serde_json::json;

pub const DEPLOYMENT: DeploymentId = DeploymentId::from_bytes([0xde; 16]);

/// Store, roots, and all that is known of the trees.
pub struct World {
    pub folder: tempfile::TempDir,
    pub store: SqliteStore,
    pub directory: Directory,
    /// The root of each batch, as an HSM would hold it.
    roots: Vec<(HsmKeyId, Secret32)>,
    pages: KeptPages,
}

pub const fn tree(keyspace: u8, version: u32) -> TreeId {
    TreeId {
        keyspace: KeyspaceId::from_bytes([keyspace; 16]),
        version: KeyVersion::new(version).unwrap(),
    }
}

struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        rand::fill(bytes).map_err(|_| EntropyError)
    }
}

pub fn secret() -> Secret32 {
    Secret32::try_filled(|bytes| SystemEntropy.fill(bytes)).unwrap()
}

fn entry(tree: TreeId) -> Entry {
    Entry {
        keyspace: tree.keyspace,
        version: tree.version,
        address_key: secret(),
        root: CoverRoot::Whole(secret()),
    }
}

fn seal(key: &Secret32, iv: [u8; 12], aad: &[u8], clear: &Secret32) -> [u8; 48] {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.expose()).unwrap());
    let mut sealed = clear.expose().to_vec();
    let nonce = Nonce::assume_unique_for_key(iv);
    key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut sealed)
        .unwrap();
    sealed.try_into().unwrap()
}

/// 32 bytes that an HSM sealed, opened with its key.
pub fn open(key: &Secret32, iv: [u8; 12], aad: &[u8], mut sealed: [u8; 48]) -> Secret32 {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.expose()).unwrap());
    let nonce = Nonce::assume_unique_for_key(iv);
    let clear = key
        .open_in_place(nonce, Aad::from(aad), &mut sealed)
        .unwrap();
    Secret32::filled(|secret| secret.copy_from_slice(clear))
}

impl World {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lethe.db");
        let store = SqliteStore::create(path).await.unwrap();
        store.set_deployment(DEPLOYMENT).await.unwrap();
        Self {
            folder,
            store,
            directory: Directory::default(),
            roots: Vec::new(),
            pages: KeptPages::default(),
        }
    }

    pub fn batches(&self) -> usize {
        self.roots.len()
    }

    /// A batch of changes to keyspaces, beside new versions for these trees.
    pub async fn create(&mut self, trees: &[TreeId]) {
        let mut changes = Vec::new();
        for tree in trees {
            self.directory.insert(entry(*tree));
            let version = VersionRow {
                version: tree.version,
                created_at: Timestamp::from_millis(1),
            };
            changes.push(if tree.version == KeyVersion::FIRST {
                let id = tree.keyspace.as_bytes()[0];
                KeyspaceChange::Create(keyspace(id, &format!("ks-{id}")))
            } else {
                KeyspaceChange::AddVersion(tree.keyspace, version)
            });
        }
        self.commit(changes, Vec::new(), None).await;
    }

    pub async fn drop_version(&mut self, tree: TreeId) {
        assert!(self.directory.remove(tree.keyspace, tree.version));
        let change = KeyspaceChange::DropVersion(tree.keyspace, tree.version);
        self.commit(vec![change], Vec::new(), None).await;
    }

    /// A batch that forgets leaves.
    pub async fn forget(
        &mut self,
        leaves: &[(TreeId, Vec<Address>)],
        fulfilled: Option<Fulfilled>,
    ) {
        let mut changes = Vec::new();
        for (tree, addresses) in leaves {
            changes.extend(self.puncture(*tree, addresses).await);
        }
        self.commit(Vec::new(), changes, fulfilled).await;
    }

    async fn puncture(&mut self, tree: TreeId, addresses: &[Address]) -> Option<TreeChange> {
        let puncture = Puncture {
            deployment: DEPLOYMENT,
            version: PageVersion::new(self.batches() as u64 + 1),
            next_tail: self.store.next_tail(tree).await.unwrap(),
            entropy: &SystemEntropy,
        };
        let entry = self.directory.entry(tree.keyspace, tree.version).unwrap();
        let punctured = entry.tree().puncture(addresses, &self.pages, puncture);
        let punctured = punctured.unwrap()?;
        let change = TreeChange {
            tree,
            pages: punctured.pages.clone(),
            tails: punctured.tails.clone(),
            superseded: punctured.superseded.clone(),
            next_tail: punctured.next_tail,
        };
        self.directory.set_root(tree, punctured.root.copied());
        self.pages.apply(tree, punctured);
        Some(change)
    }

    async fn commit(
        &mut self,
        keyspaces: Vec<KeyspaceChange>,
        trees: Vec<TreeChange>,
        fulfilled: Option<Fulfilled>,
    ) {
        let commit = BatchCommit {
            meta: self.new_root(),
            keyspaces,
            trees,
            fulfilled,
            mark: Mark::default(),
            begins: None,
            approved: None,
        };
        self.store.commit_batch(&commit).await.unwrap();
    }

    /// Seals the directory under a new root.
    fn new_root(&mut self) -> MetaRow {
        let sequence = self.batches() as u64 + 1;
        let id = HsmKeyId::from_bytes([self.batches() as u8 + 1; 16]);
        let (root, key, iv) = (secret(), secret(), [7; 12]);
        let ciphertext = seal(&root, iv, &root_aad(DEPLOYMENT, sequence, id), &key);
        self.roots.push((id, root));
        MetaRow {
            sequence,
            epoch: 1,
            share: RootShare {
                root: id,
                sealed: SealedSecret { iv, ciphertext },
            },
            directory: self.directory.seal(&key, DEPLOYMENT, sequence),
        }
    }

    /// What the core finds now.
    pub fn lookup(&self, tree: TreeId, address: Address) -> Option<[u8; 32]> {
        let entry = self.directory.entry(tree.keyspace, tree.version)?;
        match entry.tree().lookup(address, &self.pages) {
            Lookup::Leaf(leaf) => Some(*leaf.expose()),
            Lookup::Forgotten => None,
            Lookup::Missing(page) => panic!("all pages are kept: {page:?}"),
        }
    }

    /// The root of a batch, from 1, as `hsm-sim dump` would show it, and no other.
    pub fn dump(&self, batch: usize) -> PathBuf {
        let (id, root) = &self.roots[batch - 1];
        let value: String = root
            .expose()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let object = json!({ "class": "secret-key", "id": id.to_string(), "value": value });
        let path = self.folder.path().join(format!("dump-{batch}.json"));
        std::fs::write(&path, json!({ "objects": [object] }).to_string()).unwrap();
        path
    }

    /// The database as it is now, with its WAL.
    pub fn copy(&self, name: &str) -> PathBuf {
        let to = self.folder.path().join(name);
        copy_files(self.folder.path(), &to, &["lethe.db", "lethe.db-wal"]);
        to
    }
}

pub fn copy_files(from: &Path, to: &Path, names: &[&str]) {
    std::fs::create_dir(to).unwrap();
    for name in names {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}
