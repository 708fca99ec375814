//! The store contract on SQLite.

use std::sync::Arc;

use lethe_store_sqlite::SqliteStore;
use lethe_testkit::store_contract::Fixture;
use tempfile::TempDir;

struct OnDisk {
    folder: TempDir,
    store: Option<Arc<SqliteStore>>,
}

impl Fixture for OnDisk {
    type Store = SqliteStore;

    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::create(folder.path().join("lethe.db"))
            .await
            .unwrap();
        Self {
            folder,
            store: Some(Arc::new(store)),
        }
    }

    fn store(&self) -> Arc<SqliteStore> {
        self.store.clone().unwrap()
    }

    async fn reopen(&mut self) {
        Arc::into_inner(self.store.take().unwrap())
            .expect("the only owner")
            .close()
            .await;
        let store = SqliteStore::open(self.folder.path().join("lethe.db"))
            .await
            .unwrap();
        self.store = Some(Arc::new(store));
    }
}

lethe_testkit::store_contract!(OnDisk);
