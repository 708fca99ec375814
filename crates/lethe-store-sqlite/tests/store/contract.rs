//! The store contract on SQLite.

use std::path::PathBuf;
use std::sync::Arc;

use lethe_store_sqlite::SqliteStore;
use lethe_testkit::store_contract::Fixture;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};
use tempfile::TempDir;

struct OnDisk {
    folder: TempDir,
    store: Option<Arc<SqliteStore>>,
}

impl OnDisk {
    fn path(&self) -> PathBuf {
        self.folder.path().join("lethe.db")
    }

    async fn connect(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.path());
        options.connect().await.unwrap()
    }
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
        let store = SqliteStore::open(self.path()).await.unwrap();
        self.store = Some(Arc::new(store));
    }

    async fn alter(&self, statements: &str) -> Result<u64, String> {
        let mut database = self.connect().await;
        let statements = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
        let done = statements.execute(&mut database).await;
        database.close().await.unwrap();
        done.map(|done| done.rows_affected())
            .map_err(|error| error.to_string())
    }

    async fn authenticated(&self) -> Vec<(String, Vec<(String, String)>)> {
        let mut database = self.connect().await;
        let tables = "SELECT m.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c
                      WHERE c.name = 'mac' AND m.type = 'table'";
        let tables: Vec<String> = sqlx::query_scalar(tables)
            .fetch_all(&mut database)
            .await
            .unwrap();
        let mut found = Vec::new();
        for table in tables {
            let columns: Vec<(String, String)> =
                sqlx::query_as("SELECT name, type FROM pragma_table_info(?)")
                    .bind(table.clone())
                    .fetch_all(&mut database)
                    .await
                    .unwrap();
            let other = |(column, kind): (String, String)| {
                let other = match kind.as_str() {
                    "INTEGER" => format!("{column} + 1"),
                    "BLOB" => format!("randomblob(length({column}))"),
                    _ => format!("{column} || 'x'"),
                };
                (column, other)
            };
            found.push((table, columns.into_iter().map(other).collect()));
        }
        database.close().await.unwrap();
        found
    }
}

lethe_testkit::store_contract!(OnDisk);
