//! Databases as earlier releases left them, and what is in their tables.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use lethe_store_sqlite::SqliteStore;
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, SqliteConnection};

use super::rows;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// All that there ever were, oldest first.
pub(crate) fn schemas() -> Vec<i64> {
    MIGRATIONS.iter().map(|it| it.version).collect()
}

/// A database that has gone from the first schema up to one, with rows of each on its way.
pub(crate) struct Past {
    folder: tempfile::TempDir,
}

impl Past {
    pub(crate) async fn for_schema(schema: i64) -> Self {
        let past = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let mut database = past.connect().await;
        for version in schemas().into_iter().filter(|it| *it <= schema) {
            let migrated = MIGRATIONS.run_to(version, &mut database).await;
            migrated.unwrap();
            run(&mut database, rows::of_schema(version)).await.unwrap();
        }
        past
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("lethe.db")
    }

    /// Without the store, with foreign keys enforced.
    pub(crate) async fn connect(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.path());
        let options = options.create_if_missing(true).foreign_keys(true);
        options.connect().await.unwrap()
    }

    /// As a start of the service does.
    pub(crate) async fn open(&self) -> SqliteStore {
        SqliteStore::open(self.path()).await.unwrap()
    }
}

pub(crate) async fn run(
    database: &mut SqliteConnection,
    statements: String,
) -> Result<(), sqlx::Error> {
    let done = sqlx::raw_sql(AssertSqlSafe(statements)).execute(database);
    done.await.map(drop)
}

/// The first column of a query's rows.
pub(crate) async fn column(database: &mut SqliteConnection, query: String) -> Vec<String> {
    let rows = sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(database);
    rows.await.unwrap()
}

/// Columns by table; ours, and the numbers that SQLite gave last.
pub(crate) type Columns = BTreeMap<String, Vec<String>>;
/// Rows by table, each in SQL, in order.
pub(crate) type Rows = BTreeMap<String, Vec<String>>;

pub(crate) async fn columns(database: &mut SqliteConnection) -> Columns {
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table'
                  AND name NOT IN ('_sqlx_migrations', 'sqlite_stat1')";
    let mut columns = Columns::new();
    for table in column(database, tables.into()).await {
        let query = format!("SELECT name FROM pragma_table_info('{table}')");
        let of_table = column(database, query).await;
        columns.insert(table, of_table);
    }
    columns
}

/// What stands in these columns. Brackets, since SQLite takes a quoted name that it does not know for
/// a text.
pub(crate) async fn contents(database: &mut SqliteConnection, columns: &Columns) -> Rows {
    let mut rows = Rows::new();
    for (table, columns) in columns {
        let quoted: Vec<_> = columns.iter().map(|it| format!("quote([{it}])")).collect();
        let row = quoted.join(" || ', ' || ");
        let query = format!("SELECT {row} AS row FROM [{table}] ORDER BY row");
        let of_table = column(database, query).await;
        rows.insert(table.clone(), of_table);
    }
    rows
}

/// Columns in which no row has anything: a migration could lose them, and nobody would notice.
pub(crate) async fn empty(database: &mut SqliteConnection, columns: &Columns) -> Vec<String> {
    let mut empty = Vec::new();
    for (table, columns) in columns {
        for name in columns {
            let filled = format!("SELECT 1 FROM [{table}] WHERE [{name}] IS NOT NULL");
            let query = format!("SELECT '{table}.{name}' WHERE NOT EXISTS ({filled})");
            empty.extend(column(database, query).await);
        }
    }
    empty
}

/// Indexes that have a name of ours.
pub(crate) async fn indexes(database: &mut SqliteConnection) -> BTreeSet<String> {
    let query = "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL";
    column(database, query.into()).await.into_iter().collect()
}
