//! The store that the configuration names: the only place that opens SQLite and PostgreSQL.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lethe_core::ports::{ApprovalStore, KeyUseStore, Store, StoreError};
use lethe_store_postgres::PostgresStore;
use lethe_store_sqlite::SqliteStore;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::AppError;
use crate::config::{PostgresSection, StoreSection};
use crate::http::ops::Starting;

/// What a spare says of itself.
const SPARE: &str = "another node serves this store: this one waits as a spare";
/// From one try of a spare to the next.
const NEXT_TRY: Duration = Duration::from_millis(500);

/// All that the service keeps in its store.
#[async_trait]
pub(crate) trait ServiceStore: Store + ApprovalStore + KeyUseStore {
    /// Waits until this process cannot serve the store any more, and says why.
    async fn ended(&self) -> &'static str;

    /// Ends what is under way, and gives the store up.
    async fn close(&self);
}

#[async_trait]
impl ServiceStore for SqliteStore {
    /// Never: this process has locked the file.
    async fn ended(&self) -> &'static str {
        std::future::pending().await
    }

    async fn close(&self) {
        Self::close(self).await;
    }
}

#[async_trait]
impl ServiceStore for PostgresStore {
    async fn ended(&self) -> &'static str {
        Self::ended(self).await
    }

    async fn close(&self) {
        Self::close(self).await;
    }
}

/// Opens the store, which is there, and brings an older schema up to date.
///
/// # Errors
/// [`AppError`]; nothing was changed but an older schema.
pub(super) async fn open(section: &StoreSection) -> Result<Arc<dyn ServiceStore>, AppError> {
    Ok(match section {
        StoreSection::Sqlite(path) => Arc::new(SqliteStore::open(path).await?),
        StoreSection::Postgres(postgres) => {
            let connect = postgres.connect()?;
            Arc::new(PostgresStore::open(&connect, &lock_of(postgres)?).await?)
        }
    })
}

/// Opens the store, as [`open`]; none if another node serves a store in PostgreSQL.
///
/// # Errors
/// As [`open`].
pub(super) async fn open_if_free(
    section: &StoreSection,
) -> Result<Option<Arc<dyn ServiceStore>>, AppError> {
    match (open(section).await, section) {
        (Err(AppError::Store(StoreError::InUse)), StoreSection::Postgres(_)) => Ok(None),
        (opened, _) => opened.map(Some),
    }
}

/// Waits as a spare until no other node serves the store, also while the database is away, and opens it.
///
/// # Errors
/// [`AppError::Stopped`] at a signal; else as [`open`].
pub(super) async fn wait_as_spare(
    section: &StoreSection,
    starting: &Starting,
) -> Result<Arc<dyn ServiceStore>, AppError> {
    let StoreSection::Postgres(postgres) = section else {
        return open(section).await;
    };
    let mut stop = Stop::new()?;
    let (connect, lock) = (postgres.connect()?, lock_of(postgres)?);
    let mut last = None;
    loop {
        let tried = tokio::select! {
            tried = PostgresStore::open_as_spare(&connect, &lock) => tried,
            () = stop.signal() => return Err(AppError::Stopped),
        };
        let why = match tried {
            Err(StoreError::InUse) => SPARE.to_owned(),
            Err(StoreError::Unavailable(why)) => format!("this node waits as a spare: {why}"),
            opened => {
                starting.send_replace("the service starts".into());
                return Ok(opened.map(Arc::new)?);
            }
        };
        if last.as_ref() != Some(&why) {
            tracing::info!("{why}");
            starting.send_replace(why.clone());
            last = Some(why);
        }
        tokio::select! {
            () = tokio::time::sleep(NEXT_TRY) => {}
            () = stop.signal() => return Err(AppError::Stopped),
        }
    }
}

/// The signals that end a spare. SIGHUP does not: it reads its configuration when it serves.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn signal(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {}
            }
        }
    }
}

/// Opens the store; makes it first if it is not there.
///
/// # Errors
/// As [`open`].
pub(super) async fn open_or_create(
    section: &StoreSection,
) -> Result<Arc<dyn ServiceStore>, AppError> {
    match create(section).await {
        Err(AppError::Store(StoreError::Conflict(_))) => open(section).await,
        created => created,
    }
}

async fn create(section: &StoreSection) -> Result<Arc<dyn ServiceStore>, AppError> {
    Ok(match section {
        StoreSection::Sqlite(path) => Arc::new(SqliteStore::create(path).await?),
        StoreSection::Postgres(postgres) => {
            let connect = postgres.connect()?;
            Arc::new(PostgresStore::create(&connect, &lock_of(postgres)?).await?)
        }
    })
}

/// The file that this node locks while it has the store open; its folder is made if it is missing.
fn lock_of(postgres: &PostgresSection) -> std::io::Result<PathBuf> {
    let folder = &postgres.state;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    Ok(folder.join("store.lock"))
}
