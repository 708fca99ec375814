//! One process serves a database: it holds an advisory lock in a session of its own. When that process dies,
//! is stopped or is cut off, the server ends the session, and another process takes the lock.
//!
//! Whoever takes the lock advances the fence, and ends the sessions of the process before. That process may go
//! on without knowing it: what it begins then sees the new fence.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use lethe_core::ports::StoreError;
use parking_lot::Mutex;
use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::backends;
use crate::connect::Connect;
use crate::errors::{during, within};
use crate::primary::{Primary, find};

/// By which others know the session that holds the lock. It never writes but to the fence, so nobody has to
/// end it.
const APPLICATION: &str = "lethe lock";
/// "lethe" in ASCII.
const KEY: i64 = 0x6c_6574_6865;
/// From one look at the session to the next, and from one try to take the lock again to the next.
const LOOK: Duration = Duration::from_millis(500);
/// Longest wait for an answer of the session.
const ANSWER: Duration = Duration::from_secs(3);
/// Longest wait for a session with the lock.
const TAKEN: Duration = Duration::from_secs(10);
/// How long the session of a process that has died may hold the lock.
const DYING: Duration = Duration::from_secs(1);
/// From one look at all copies to the next.
const LOOK_AROUND: Duration = Duration::from_secs(5);
/// Why a process cannot serve any more whose primary was replaced.
const MOVED: &str = "another copy of the database is the primary now";
/// The server ends the session of a process that was stopped.
const IDLE: &str = "SET idle_session_timeout = '10s'";
/// Before it gives signs of life: longer than a migration.
const IDLE_AT_A_START: &str = "SET idle_session_timeout = '10min'";

/// Who holds the lock `$1` on this database.
macro_rules! locks {
    () => {
        "SELECT FROM pg_locks
         WHERE locktype = 'advisory' AND granted AND objsubid = 1
               AND (classid::bigint << 32) | objid::bigint = $1
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    };
}

/// Whether this process holds the lock.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// The fence of this process while it holds the lock; else 0.
    fence: AtomicI64,
    /// The process of its session in the server.
    session: AtomicI64,
}

impl Held {
    fn set(&self, fence: i64, session: i64) {
        self.0.session.store(session, Ordering::Release);
        self.0.fence.store(fence, Ordering::Release);
    }

    /// The fence of this process. Nothing is written by a process that another one may have replaced.
    pub(crate) fn fence(&self) -> Result<i64, StoreError> {
        match self.0.fence.load(Ordering::Acquire) {
            0 => Err(StoreError::Unavailable(
                "the session that holds the lock on the database was lost".into(),
            )),
            fence => Ok(fence),
        }
    }

    /// Asks the server whether this process holds the lock, and its fence is the newest.
    pub(crate) async fn ask(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let fence = self.fence()?;
        let session = self.0.session.load(Ordering::Acquire);
        let held = sqlx::query_scalar(concat!(
            "SELECT (SELECT epoch FROM fence) = $2 AND EXISTS (",
            locks!(),
            " AND pid = $3)"
        ));
        let held = held.bind(KEY).bind(fence).bind(session);
        let held: bool = held
            .fetch_one(connection)
            .await
            .map_err(during("look at the lock"))?;
        held.then_some(()).ok_or_else(replaced)
    }
}

/// Another process has taken the lock.
pub(crate) fn replaced() -> StoreError {
    StoreError::Unavailable("another node serves the database".into())
}

/// The lock, before this process serves.
pub(crate) struct Lock {
    pub(crate) primary: Primary,
    session: PgConnection,
}

/// Holds the lock, and takes it again when its session is lost.
#[derive(Debug)]
pub(crate) struct Guard {
    held: Held,
    ended: watch::Receiver<Option<&'static str>>,
    stop: Arc<Notify>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Lock {
    /// Takes the lock when it has been free for so long, before this process has any other session, and ends those
    /// that an earlier one has left.
    pub(crate) async fn take(connect: &Connect, free: Duration) -> Result<Self, StoreError> {
        within(TAKEN, "lock the database", async {
            let (primary, mut session) = find(connect, APPLICATION).await?;
            stays_free(&mut session, free).await?;
            let idle = session.execute(IDLE_AT_A_START).await;
            idle.map_err(during("lock the database"))?;
            lock(&mut session).await?;
            backends::end_left(&mut session).await?;
            Ok(Self { primary, session })
        })
        .await
    }

    /// Advances the fence, ends what an earlier process has begun meanwhile, and holds the lock from now on.
    pub(crate) async fn hold(mut self, connect: Connect) -> Result<Guard, StoreError> {
        let advance = sqlx::query_scalar("UPDATE fence SET epoch = epoch + 1 RETURNING epoch");
        let advanced = advance.fetch_one(&mut self.session).await;
        let fence = advanced.map_err(during("advance the fence"))?;
        backends::end_left(&mut self.session).await?;
        let held = Held::default();
        held.set(fence, begin_signs(&mut self.session).await?);
        let ((end, ended), stop) = (watch::channel(None), Arc::<Notify>::default());
        let holder = Holder {
            connect,
            primary: self.primary,
            fence,
            held: held.clone(),
        };
        let task = holder.hold(self.session, end, Arc::clone(&stop));
        Ok(Guard {
            held,
            ended,
            stop,
            task: Mutex::new(Some(tokio::spawn(task))),
        })
    }
}

impl Guard {
    pub(crate) fn held(&self) -> Held {
        self.held.clone()
    }

    /// Waits until this process cannot serve the database any more; says why.
    pub(crate) async fn ended(&self) -> &'static str {
        let mut ended = self.ended.clone();
        let why = ended.wait_for(Option::is_some).await.map(|why| *why);
        match why {
            Ok(why) => why.unwrap_or_default(),
            // It was released.
            Err(_) => std::future::pending().await,
        }
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

/// What holds the lock.
struct Holder {
    connect: Connect,
    primary: Primary,
    fence: i64,
    held: Held,
}

/// How a try to take the lock again has ended.
enum Again {
    /// It was taken, and nobody has had it meanwhile.
    Held(PgConnection, i64),
    /// Not yet.
    NotYet,
    /// What this process knows of the database may be old.
    Ended(&'static str),
}

impl Holder {
    async fn hold(
        self,
        session: PgConnection,
        ended: watch::Sender<Option<&'static str>>,
        stop: Arc<Notify>,
    ) {
        let why = tokio::select! {
            why = self.hold_lock(session, &stop) => why,
            () = self.newer_primary() => Some(MOVED),
        };
        self.held.set(0, 0);
        if why.is_some() {
            ended.send_replace(why);
            stop.notified().await;
        }
    }

    /// Waits until a copy has a newer history than this primary, which may not know that it was left.
    async fn newer_primary(&self) {
        loop {
            tokio::time::sleep(LOOK_AROUND).await;
            if let Ok((found, _)) = find(&self.connect, APPLICATION).await
                && found.timeline > self.primary.timeline
            {
                return;
            }
        }
    }

    /// Until `stop`; why it cannot be held any more, if it cannot.
    async fn hold_lock(&self, session: PgConnection, stop: &Notify) -> Option<&'static str> {
        let mut session = Some(session);
        loop {
            tokio::select! {
                () = stop.notified() => break,
                () = tokio::time::sleep(LOOK) => {}
            }
            // A session that was lost is ended before a new one asks for the lock.
            session = match session.take() {
                Some(connection) => answering(connection).await,
                None => match self.again().await {
                    Again::Held(connection, process) => {
                        self.held.set(self.fence, process);
                        Some(connection)
                    }
                    Again::NotYet => None,
                    Again::Ended(why) => return Some(why),
                },
            };
            if session.is_none() {
                self.held.set(0, 0);
            }
        }
        self.held.set(0, 0);
        // The lock goes with the session.
        if let Some(connection) = session {
            let _ = timeout(ANSWER, connection.close()).await;
        }
        None
    }

    async fn again(&self) -> Again {
        let tried = within(TAKEN, "lock the database", self.try_again()).await;
        tried.unwrap_or(Again::NotYet)
    }

    async fn try_again(&self) -> Result<Again, StoreError> {
        let (primary, mut session) = find(&self.connect, APPLICATION).await?;
        if !primary.is(&self.primary) {
            return Ok(Again::Ended(MOVED));
        }
        let locked = lock(&mut session).await;
        // Whoever has the lock has advanced the fence before it serves.
        if fence(&mut session).await? != self.fence {
            return Ok(Again::Ended("another node serves the database now"));
        }
        locked?;
        let process = begin_signs(&mut session).await?;
        Ok(Again::Held(session, process))
    }
}

async fn answering(mut connection: PgConnection) -> Option<PgConnection> {
    let answered = timeout(ANSWER, connection.ping()).await;
    matches!(answered, Ok(Ok(()))).then_some(connection)
}

/// Takes the lock. A process that has just died may still have its session for a moment.
async fn lock(session: &mut PgConnection) -> Result<(), StoreError> {
    let begun = Instant::now();
    loop {
        let lock = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(KEY);
        let locked: Result<bool, _> = lock.fetch_one(&mut *session).await;
        if locked.map_err(during("lock the database"))? {
            return Ok(());
        }
        if begun.elapsed() > DYING {
            return Err(StoreError::InUse);
        }
        tokio::time::sleep(LOOK / 10).await;
    }
}

/// Nobody holds the lock for so long.
async fn stays_free(session: &mut PgConnection, free: Duration) -> Result<(), StoreError> {
    let begun = Instant::now();
    while begun.elapsed() < free {
        let held = sqlx::query_scalar(concat!("SELECT EXISTS (", locks!(), ")")).bind(KEY);
        let held: Result<bool, _> = held.fetch_one(&mut *session).await;
        if held.map_err(during("look at the lock"))? {
            return Err(StoreError::InUse);
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

async fn fence(session: &mut PgConnection) -> Result<i64, StoreError> {
    let fence = sqlx::query_scalar("SELECT epoch FROM fence");
    let fence = fence.fetch_one(session).await;
    fence.map_err(during("read the fence"))
}

/// From now on the server ends a session that gives no sign of life. Returns its process in the server.
async fn begin_signs(session: &mut PgConnection) -> Result<i64, StoreError> {
    let failed = during("lock the database");
    session.execute(IDLE).await.map_err(&failed)?;
    let process = sqlx::query_scalar("SELECT pg_backend_pid()::bigint");
    process.fetch_one(session).await.map_err(failed)
}
