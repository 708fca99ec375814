//! The server's own database: SQLite, ciphertext and wrapped keys only.

mod read;
mod shreds;
mod writer;

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqlitePool};

pub use writer::Inserted;

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    readers: SqlitePool,
    write: SqlitePool,
    inserts: tokio::sync::mpsc::Sender<writer::Insert>,
}

/// Why the database failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite says.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema is of another program or a newer release.
    #[error("database schema: {0}")]
    Schema(#[from] sqlx::migrate::MigrateError),
    /// A row that this program did not write.
    #[error("database: unreadable {0}")]
    Corrupt(&'static str),
    /// The writer has ended, or the transaction failed; its reason is in the log.
    #[error("the message was not stored")]
    NotStored,
}

impl Store {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// A file that cannot be opened, or is no database of this program.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging();
        let pool = |most| {
            SqlitePoolOptions::new()
                .max_connections(most)
                .idle_timeout(None)
                .max_lifetime(None)
        };
        let write = pool(1).connect_with(options.clone()).await?;
        sqlx::migrate!("./migrations").run(&write).await?;
        let readers = pool(4).connect_with(options).await?;
        let inserts = writer::start(write.clone());
        Ok(Self {
            readers,
            write,
            inserts,
        })
    }

    /// Ends all connections.
    pub async fn close(self) {
        drop(self.inserts);
        self.readers.close().await;
        self.write.close().await;
    }
}
