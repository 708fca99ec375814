//! One process serves a database: it holds an advisory lock in a session of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use lethe_core::ports::StoreError;
use parking_lot::Mutex;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::errors::{LOCKED, during};

/// "lethe" in ASCII.
const KEY: i64 = 0x6c_6574_6865;
/// From one look at the session to the next, and from one try to take the lock again to the next.
const LOOK: Duration = Duration::from_millis(500);
/// Longest wait for an answer of the session.
const ANSWER: Duration = Duration::from_secs(3);

/// Whether this process holds the lock: the process id of its session in the server, or 0.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held(Arc<AtomicI32>);

impl Held {
    pub(crate) fn pid(&self) -> i32 {
        self.0.load(Ordering::Acquire)
    }

    /// Nothing is written by a process that another one may have replaced.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self.pid() {
            0 => Err(StoreError::Unavailable(
                "the session that holds the lock on the database was lost".into(),
            )),
            _ => Ok(()),
        }
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
    /// Takes the lock.
    pub(crate) async fn take(options: PgConnectOptions) -> Result<Self, StoreError> {
        let (connection, pid) = lock(&options).await?;
        let (held, stop) = (Held::default(), Arc::<Notify>::default());
        held.0.store(pid, Ordering::Release);
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

async fn hold(
    options: PgConnectOptions,
    mut connection: PgConnection,
    held: Held,
    stop: Arc<Notify>,
) {
    loop {
        tokio::select! {
            () = stop.notified() => break,
            () = tokio::time::sleep(LOOK) => {}
        }
        let answered = tokio::time::timeout(ANSWER, connection.ping()).await;
        if matches!(answered, Ok(Ok(()))) {
            continue;
        }
        held.0.store(0, Ordering::Release);
        if let Ok((again, pid)) = lock(&options).await {
            connection = again;
            held.0.store(pid, Ordering::Release);
        }
    }
    held.0.store(0, Ordering::Release);
    let unlock = sqlx::query("SELECT pg_advisory_unlock($1)").bind(KEY);
    let _ = unlock.execute(&mut connection).await;
    let _ = connection.close().await;
}

/// A process that has just died may still have its session for a moment.
async fn lock(options: &PgConnectOptions) -> Result<(PgConnection, i32), StoreError> {
    let failed = during("lock the database");
    let mut connection = options.connect().await.map_err(&failed)?;
    let set = connection.execute("SET lock_timeout = '1s'").await;
    set.map_err(&failed)?;
    let lock = sqlx::query_scalar("SELECT pg_backend_pid() FROM pg_advisory_lock($1)").bind(KEY);
    match lock.fetch_one(&mut connection).await {
        Ok(pid) => Ok((connection, pid)),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(LOCKED) => {
            Err(StoreError::InUse)
        }
        Err(error) => Err(failed(error)),
    }
}
