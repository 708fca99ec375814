//! One process serves a database: it holds an advisory lock in a session of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lethe_core::ports::StoreError;
use parking_lot::Mutex;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::backends;
use crate::errors::{LOCKED, during, within};
use crate::session;

/// By which others know the session that holds the lock. It never writes, so nobody has to end it.
const APPLICATION: &str = "lethe lock";
/// "lethe" in ASCII.
const KEY: i64 = 0x6c_6574_6865;
/// From one look at the session to the next, and from one try to take the lock again to the next.
const LOOK: Duration = Duration::from_millis(500);
/// Longest wait for an answer of the session.
const ANSWER: Duration = Duration::from_secs(3);
/// Longest wait for a session with the lock.
const TAKEN: Duration = Duration::from_secs(6);

/// Whether this process holds the lock.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held(Arc<AtomicBool>);

impl Held {
    fn set(&self, held: bool) {
        self.0.store(held, Ordering::Release);
    }

    /// Nothing is written by a process that another one may have replaced.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.0.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(StoreError::Unavailable(
            "the session that holds the lock on the database was lost".into(),
        ))
    }
}

/// Holds the lock, and takes it again when its session is lost.
#[derive(Debug)]
pub(crate) struct Guard {
    held: Held,
    stop: Arc<Notify>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Guard {
    /// Takes the lock, before this process has any other session, and ends those that an earlier one has left.
    pub(crate) async fn take(options: &PgConnectOptions) -> Result<Self, StoreError> {
        let options = options.clone().application_name(APPLICATION);
        let mut connection = lock(&options).await?;
        backends::end_left(&mut connection).await?;
        let (held, stop) = (Held::default(), Arc::<Notify>::default());
        held.set(true);
        let task = hold(options, connection, held.clone(), Arc::clone(&stop));
        Ok(Self {
            held,
            stop,
            task: Mutex::new(Some(tokio::spawn(task))),
        })
    }

    pub(crate) fn held(&self) -> Held {
        self.held.clone()
    }

    /// Gives the lock up.
    pub(crate) async fn release(&self) {
        self.stop.notify_one();
        let task = self.task.lock().take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

async fn hold(options: PgConnectOptions, connection: PgConnection, held: Held, stop: Arc<Notify>) {
    let mut session = Some(connection);
    loop {
        tokio::select! {
            () = stop.notified() => break,
            () = tokio::time::sleep(LOOK) => {}
        }
        // A session that was lost is ended before a new one asks for the lock.
        session = match session.take() {
            Some(connection) => answering(connection).await,
            None => lock(&options).await.ok(),
        };
        held.set(session.is_some());
    }
    held.set(false);
    // The lock goes with the session.
    if let Some(connection) = session {
        let _ = timeout(ANSWER, connection.close()).await;
    }
}

async fn answering(mut connection: PgConnection) -> Option<PgConnection> {
    let answered = timeout(ANSWER, connection.ping()).await;
    matches!(answered, Ok(Ok(()))).then_some(connection)
}

async fn lock(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    within(TAKEN, "lock the database", try_lock(options)).await
}

/// A process that has just died may still have its session for a moment.
async fn try_lock(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let failed = during("lock the database");
    let mut connection = session::connect(options).await?;
    let set = connection.execute("SET lock_timeout = '1s'").await;
    set.map_err(&failed)?;
    let lock = sqlx::query("SELECT pg_advisory_lock($1)").bind(KEY);
    match lock.execute(&mut connection).await {
        Ok(_) => Ok(connection),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(LOCKED) => {
            Err(StoreError::InUse)
        }
        Err(error) => Err(failed(error)),
    }
}
