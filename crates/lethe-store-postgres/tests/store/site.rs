//! A database of a test's own, and how to connect to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lethe_core::ports::StoreError;
use lethe_store_postgres::{Connect, Host, PostgresStore};
use lethe_testkit::postgres::{PORT, ROLE, Server};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

/// From one look at what a test waits for to the next.
const PAUSE: Duration = Duration::from_millis(10);
/// A test that has looked so often waits for what does not come.
const TRIES: u32 = 6_000;

pub(crate) fn until(what: &str, mut there: impl FnMut() -> bool) {
    for _ in 0..TRIES {
        if there() {
            return;
        }
        std::thread::sleep(PAUSE);
    }
    panic!("not within a minute: {what}");
}

pub(crate) async fn until_async(what: &str, mut there: impl AsyncFnMut() -> bool) {
    for _ in 0..TRIES {
        if there().await {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("not within a minute: {what}");
}

/// A copy of the database.
pub(crate) fn host(name: &str, host: &str) -> Host {
    Host {
        name: name.into(),
        host: host.into(),
        port: PORT,
    }
}

pub(crate) struct Site<'s> {
    pub(crate) server: &'s Server,
    pub(crate) database: String,
    folder: TempDir,
}

impl<'s> Site<'s> {
    pub(crate) fn new(server: &'s Server) -> Self {
        Self {
            server,
            database: server.database(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.folder.path().join("store.lock")
    }

    pub(crate) fn connect(&self) -> Connect {
        Self::connect_to(&self.database, self.server.socket())
    }

    pub(crate) fn connect_through(&self, socket: &Path) -> Connect {
        // It has moved there, if there is a store.
        let _ = self.server.try_sql(&self.database, "DELETE FROM member");
        Self::connect_to(&self.database, socket)
    }

    pub(crate) fn connect_to(database: &str, socket: &Path) -> Connect {
        Connect {
            hosts: vec![host("a", socket.to_str().unwrap())],
            durable_on: 1,
            database: database.into(),
            user: ROLE.into(),
            password: None,
            tls: None,
        }
    }

    pub(crate) async fn create(&self) -> PostgresStore {
        PostgresStore::create(&self.connect(), &self.lock())
            .await
            .unwrap()
    }

    pub(crate) async fn open(&self) -> PostgresStore {
        self.try_open(&self.connect()).await.unwrap()
    }

    /// A program that another test starts has this one's files, so the lock too, until it has begun to run.
    pub(crate) async fn try_open(&self, connect: &Connect) -> Result<PostgresStore, StoreError> {
        let mut opened = PostgresStore::open(connect, &self.lock()).await;
        for _ in 0..TRIES {
            let Err(StoreError::InUse) = opened else {
                break;
            };
            tokio::time::sleep(PAUSE).await;
            opened = PostgresStore::open(connect, &self.lock()).await;
        }
        opened
    }

    /// A session of a superuser.
    pub(crate) async fn session(&self) -> PgConnection {
        let socket = self.server.socket().display();
        let url = format!("postgres:///{}?host={socket}&user=postgres", self.database);
        PgConnection::connect(&url).await.unwrap()
    }

    /// Waits until so many sessions of the store are in a state.
    pub(crate) fn until_sessions(&self, number: u32, state: &str) {
        let count = format!(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = '{}' AND application_name = 'lethe' AND {state}",
            self.database
        );
        let wanted = number.to_string();
        until(&count, || self.server.sql("postgres", &count) == wanted);
    }

    pub(crate) fn sql(&self, statements: &str) -> String {
        self.server.sql(&self.database, statements)
    }
}
