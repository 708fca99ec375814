//! The connections of one store. The pool of sqlx does not say why it has none to give, and waits without a
//! limit for one that is given back.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use lethe_core::ports::StoreError;
use parking_lot::Mutex;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::errors::{failed, within};
use crate::session;

/// Connections of one store.
const CONNECTIONS: u32 = 8;
/// Longest wait for one of them, and for a new one.
const WAIT: Duration = Duration::from_secs(5);
/// Longest wait for a sign of life.
const ANSWER: Duration = Duration::from_secs(2);

/// A connection that is in no transaction begins one and ends it; one that is in a transaction ends that, or
/// fails. One that is dead fails too.
const OUT_OF_ANY_TRANSACTION: &str = "BEGIN; ROLLBACK";

/// Connections that nobody uses, and the right to use one.
pub(crate) struct Pool {
    options: PgConnectOptions,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<PgConnection>>,
}

/// One connection, which ends unless it is given back.
#[derive(Debug)]
pub(crate) struct Lent {
    connection: PgConnection,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

/// Without the password.
impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn new(options: PgConnectOptions) -> Arc<Self> {
        Arc::new(Self {
            options,
            permits: Arc::new(Semaphore::new(CONNECTIONS as usize)),
            idle: Mutex::default(),
        })
    }

    /// A connection that answers and is in no transaction.
    pub(crate) async fn acquire(self: &Arc<Self>, name: &'static str) -> Result<Lent, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned();
        let permit = match timeout(WAIT, permit).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(failed(name, "the store is closed")),
            Err(_) => return Err(failed(name, "all connections to PostgreSQL are busy")),
        };
        let connection = match self.idle_one().await {
            Some(connection) => connection,
            None => within(WAIT, name, session::connect(&self.options)).await?,
        };
        Ok(Lent {
            connection,
            pool: Arc::clone(self),
            _permit: permit,
        })
    }

    async fn idle_one(&self) -> Option<PgConnection> {
        loop {
            let mut connection = self.idle.lock().pop()?;
            match timeout(ANSWER, connection.execute(OUT_OF_ANY_TRANSACTION)).await {
                Ok(Ok(_)) => return Some(connection),
                Ok(Err(_)) => {}
                // The server is gone without a word: the others would wait as long.
                Err(_) => self.idle.lock().clear(),
            }
        }
    }

    /// Waits, up to a limit, for the connections that are in use, and ends all. None is given any more.
    pub(crate) async fn close(&self, limit: Duration) {
        let _ = timeout(limit, self.permits.acquire_many(CONNECTIONS)).await;
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle.lock());
        for connection in idle {
            let _ = timeout(ANSWER, connection.close()).await;
        }
    }
}

impl Lent {
    pub(crate) fn give_back(self) {
        self.pool.idle.lock().push(self.connection);
    }
}

impl Deref for Lent {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
