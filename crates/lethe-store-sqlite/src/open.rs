//! Opening and creating: lock, connections, version of the schema.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use lethe_core::claim::StoreLocation;
use lethe_core::ports::StoreError;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqlitePool};

use crate::checkpoint::Checkpoints;
use crate::{errors, files};
use lethe_store_sql::authentic::Authenticity;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
const READERS: u32 = 4;
/// `PRAGMA synchronous`
const FULL: i64 = 2;

/// The store in one SQLite database, which this process alone has open.
#[derive(Debug)]
pub struct SqliteStore {
    pub(crate) writer: SqlitePool,
    pub(crate) reader: SqlitePool,
    pub(crate) location: StoreLocation,
    pub(crate) authentic: Authenticity,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) files: files::Durable,
    // Last, so that the connections go before the lock does.
    _lock: File,
}

impl SqliteStore {
    /// Opens a database that is there, and brings an older schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when there is none, [`StoreError::InUse`] when another process
    /// has it, [`StoreError::Newer`] and [`StoreError::Corrupt`] when it is not for this release.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let database = files::existing(path.as_ref())?;
        let lock = files::lock(&database)?;
        Self::open_locked(path.as_ref(), &database, lock).await
    }

    /// Makes a database, readable by its owner only, and opens it. It gets its name when it is
    /// complete: a crash half-way leaves nothing that could be taken for an empty store.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a file is there already; else as [`Self::open`].
    pub async fn create(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let database = files::future(path.as_ref())?;
        let lock = files::lock(&database)?;
        if database.symlink_metadata().is_ok() {
            return Err(StoreError::Conflict(
                "a file is at the path of the database",
            ));
        }
        let draft = files::beside(&database, ".new");
        files::start_draft(&draft)?;
        write_schema(&draft).await?;
        files::publish(&draft, &database)?;
        Self::open_locked(path.as_ref(), &database, lock).await
    }

    /// Ends all connections, the last of which moves the WAL into the database: one file is left.
    /// The lock goes when the store is dropped; nothing can be done with it until then.
    pub async fn close(&self) {
        self.checkpoints.stop().await;
        self.reader.close().await;
        self.writer.close().await;
    }

    async fn open_locked(named: &Path, database: &Path, lock: File) -> Result<Self, StoreError> {
        // Before SQLite opens it, closed after it: see there.
        let mut files = files::Durable::open(named, database)?;
        let writer = connect(1, writer_options(database)).await?;
        refuse_foreign_schema(&writer).await?;
        refuse_read_only(&writer).await?;
        refuse_unflushed(&writer).await?;
        MIGRATIONS.run(&writer).await.map_err(errors::migration)?;
        let reader = connect(READERS, options(database).read_only(true)).await?;
        let checkpointer = connect(1, options(database)).await?;
        files.opened()?;
        Ok(Self {
            writer,
            reader,
            location: files.location()?,
            authentic: Authenticity::default(),
            checkpoints: Checkpoints::start(checkpointer),
            files,
            _lock: lock,
        })
    }
}

/// Closing the last connection moves the WAL into the database file and removes it.
async fn write_schema(draft: &Path) -> Result<(), StoreError> {
    let writer = connect(1, writer_options(draft)).await?;
    let written = MIGRATIONS.run(&writer).await.map_err(errors::migration);
    writer.close().await;
    written
}

/// Before anything is written: an empty file is no store of ours (it may have been truncated),
/// and the schema of a newer release is not ours to touch.
async fn refuse_foreign_schema(writer: &SqlitePool) -> Result<(), StoreError> {
    let newest: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(writer)
        .await
        .map_err(errors::during("read the schema version"))?;
    let known = MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0);
    match newest {
        None => Err(StoreError::Corrupt(
            "_sqlx_migrations.version: no schema".into(),
        )),
        Some(newest) if newest > known => Err(StoreError::Newer(newest)),
        Some(_) => Ok(()),
    }
}

/// SQLite opens a file that it may not write without a word, and begins transactions in it, too:
/// only a statement that would write tells.
async fn refuse_read_only(writer: &SqlitePool) -> Result<(), StoreError> {
    let tried = sqlx::raw_sql("DELETE FROM _sqlx_migrations WHERE version < 0")
        .execute(writer)
        .await;
    match tried {
        Ok(_) => Ok(()),
        // A backup may hold the lock for a while: whoever writes waits for it.
        Err(error) if errors::is_busy(&error) => Ok(()),
        Err(error) => Err(errors::during("open for writing")(error)),
    }
}

/// What SQLite answers is on the disk: asked of the connection that writes, not taken from what it
/// was told. A file system without shared memory leaves another journal mode.
async fn refuse_unflushed(writer: &SqlitePool) -> Result<(), StoreError> {
    let ask = "SELECT journal_mode, synchronous FROM pragma_journal_mode, pragma_synchronous";
    let (journal, synchronous): (String, i64) = sqlx::query_as(ask)
        .fetch_one(writer)
        .await
        .map_err(errors::during("read the journal mode"))?;
    if (journal.as_str(), synchronous) == ("wal", FULL) {
        return Ok(());
    }
    Err(StoreError::Unavailable(format!(
        "SQLite keeps no write-ahead log that it flushes here (journal_mode {journal}, synchronous {synchronous})"
    )))
}

fn options(database: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(database)
        .create_if_missing(false)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

fn writer_options(database: &Path) -> SqliteConnectOptions {
    options(database)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("secure_delete", "ON")
        // See `checkpoint.rs`.
        .pragma("wal_autocheckpoint", "0")
        // A WAL that one large batch made long is cut when it is begun anew.
        .pragma("journal_size_limit", "67108864")
}

/// All connections are opened here, and read once: SQLite opens the WAL at the first read, and later both
/// could find another file in this one's place.
async fn connect(most: u32, options: SqliteConnectOptions) -> Result<SqlitePool, StoreError> {
    let pool = SqlitePoolOptions::new()
        .max_connections(most)
        // The settings live in the connection, and closing the last one would checkpoint: keep them.
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options)
        .await
        .map_err(errors::during("open"))?;
    let mut opened = Vec::new();
    for _ in 0..most {
        let mut connection = pool.acquire().await.map_err(errors::during("open"))?;
        let read = sqlx::raw_sql("SELECT count(*) FROM sqlite_schema");
        let read = read.execute(&mut *connection).await;
        read.map_err(errors::during("open"))?;
        opened.push(connection);
    }
    drop(opened);
    Ok(pool)
}
