//! Opening and creating: lock, checks, version of the schema, connections.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lethe_core::claim::StoreLocation;
use lethe_core::ports::StoreError;
use lethe_store_sql::authentic::Authenticity;
use sqlx::migrate::Migrator;
use sqlx::{Connection, Executor, PgConnection};

use crate::calls::Calls;
use crate::connect::Connect;
use crate::errors::{self, during, no_store, within};
use crate::guard::{Guard, Lock};
use crate::{members, place, session};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// By which others know the sessions of a start before it has the store.
const OPENING: &str = "lethe start";
/// Longest wait for a step of a start.
const START: Duration = Duration::from_secs(10);
/// Longest time of all migrations: it ends a start whose server has died.
const MIGRATION: Duration = Duration::from_secs(3_600);

/// How long the lock on the database is free before a spare takes it.
const FREE: Duration = Duration::from_secs(3);

/// `undefined_table`
const NO_TABLE: &str = "42P01";

/// The store in one database, which this process alone serves.
#[derive(Debug)]
pub struct PostgresStore {
    pub(crate) calls: Calls,
    pub(crate) authentic: Arc<Authenticity>,
    pub(crate) location: StoreLocation,
    /// The name of the member that is the primary.
    pub(crate) here: String,
    pub(crate) guard: Guard,
    // Last, so that the connections go before the lock does.
    _lock: File,
}

/// What the row of `schema` says.
struct Schema {
    version: i64,
    readable_by: i64,
}

impl PostgresStore {
    /// Opens a store that is there, and brings an older schema up to date. `lock` is a file of this host that
    /// no other store uses.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the server does not answer, is not fit for a store, or has none in
    /// the database; [`StoreError::InUse`] when another process serves it; [`StoreError::Newer`] and
    /// [`StoreError::Corrupt`] when it is not for this release.
    pub async fn open(connect: &Connect, lock: &Path) -> Result<Self, StoreError> {
        Self::open_or_create(connect, lock, false, Duration::ZERO).await
    }

    /// Opens a store when nobody has served it for a while: a process that has lost the lock for a moment takes
    /// it again before.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_as_spare(connect: &Connect, lock: &Path) -> Result<Self, StoreError> {
        Self::open_or_create(connect, lock, false, FREE).await
    }

    /// Makes the tables of a store, all or none, and opens it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a store is there already; else as [`Self::open`].
    pub async fn create(connect: &Connect, lock: &Path) -> Result<Self, StoreError> {
        Self::open_or_create(connect, lock, true, Duration::ZERO).await
    }

    async fn open_or_create(
        connect: &Connect,
        lock: &Path,
        create: bool,
        free: Duration,
    ) -> Result<Self, StoreError> {
        connect.check()?;
        let lock = place::lock(lock)?;
        let taken = Lock::take(connect, free).await?;
        let (here, options) = (
            taken.primary.host.name.clone(),
            taken.primary.options.clone(),
        );
        let first = options.clone().application_name(OPENING);
        session::check_listen(&first).await?;
        let mut connection = within(START, "connect", session::connect(&first)).await?;
        let prepared = prepare(&mut connection, connect, create);
        within(MIGRATION, "migrate", prepared).await?;
        let members = members::add(&mut connection, &connect.hosts);
        within(START, "write down the copies", members).await?;
        let location = within(
            START,
            "find the database",
            place::location(&mut connection, &lock),
        );
        let location = location.await?;
        let guard = within(START, "lock the database", taken.hold(connect.clone())).await?;
        let calls = Calls::new(options, guard.held(), &here, connect.durable_on);
        // Closed in order where it can be: nothing depends on it.
        let _ = tokio::time::timeout(START, connection.close()).await;
        Ok(Self {
            calls,
            authentic: Arc::default(),
            location,
            here,
            guard,
            _lock: lock,
        })
    }

    /// Waits until this process cannot serve the database any more, and says why: another process serves it,
    /// or another copy of it is the primary. A new start sees what is there.
    pub async fn ended(&self) -> &'static str {
        self.guard.ended().await
    }

    /// Waits for the calls that are under way, ends all connections, and gives the database up.
    pub async fn close(&self) {
        self.calls.close().await;
        self.guard.release().await;
    }
}

/// The schema is made, or brought up to date. Two that start at the same time wait for each other.
async fn prepare(
    connection: &mut PgConnection,
    connect: &Connect,
    create: bool,
) -> Result<(), StoreError> {
    let newest = MIGRATIONS.iter().map(|it| it.version).max().unwrap_or(0);
    match schema(connection).await? {
        Some(_) if create => {
            return Err(StoreError::Conflict("a store is in the database already"));
        }
        None if !create => {
            return Err(no_store(&connect.database));
        }
        Some(found) if found.version > newest && found.readable_by > newest => {
            return Err(StoreError::Newer(found.version));
        }
        // A newer release made it, and says that this one may use it.
        Some(found) if found.version > newest => return Ok(()),
        _ => {}
    }
    let set = connection.execute("SET statement_timeout = 0").await;
    set.map_err(during("migrate"))?;
    MIGRATIONS
        .run(&mut *connection)
        .await
        .map_err(errors::migration)
}

async fn schema(connection: &mut PgConnection) -> Result<Option<Schema>, StoreError> {
    let row: Result<Option<(i64, i64)>, _> =
        sqlx::query_as("SELECT version, readable_by FROM schema")
            .fetch_optional(connection)
            .await;
    match row {
        Ok(Some((version, readable_by))) => Ok(Some(Schema {
            version,
            readable_by,
        })),
        Ok(None) => Err(StoreError::Corrupt("schema: no row".into())),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(NO_TABLE) => Ok(None),
        Err(error) => Err(during("read the schema version")(error)),
    }
}
