//! Every call to the database runs in a task of its own, which nothing cancels.
//!
//! A future of sqlx that is dropped half-way may leave its connection inside of a transaction: a `begin` that
//! was sent and not answered counts as none, and the next caller writes into a transaction that nobody commits
//! (its issue 4393). So a caller that goes away leaves only its wait: what was begun is carried out. Beside
//! that, a connection that comes back is taken out of any transaction before it is used again.
//!
//! A COMMIT whose answer was lost may still be under way in the server. Its session is ended, and seen to be
//! gone, before this store asks anything else: whoever looks afterwards sees what became of it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use lethe_core::ports::StoreError;
use parking_lot::Mutex;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor, PgConnection, PgPool, Postgres, Row};

use crate::errors::during;
use crate::guard::Held;
use crate::session;

/// Connections of one store.
const CONNECTIONS: u32 = 8;
/// Longest wait for one of them.
const ACQUIRE: Duration = Duration::from_secs(5);
/// Longest time of one call: the server's own limits are shorter, so only a lost connection reaches it.
const LIMIT: Duration = Duration::from_secs(30);
/// Longest wait until a session that was ended is gone.
const ENDED: Duration = Duration::from_secs(5);

/// What a call does with its connection.
pub(crate) type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'c>>;

/// A session of the server: its process, and when it began.
type Backend = (i32, String);

/// The connections of a store, and what is left to be ended.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    pool: PgPool,
    held: Held,
    /// Sessions whose COMMIT was not answered.
    unsettled: Arc<Mutex<Vec<Backend>>>,
    /// Why the last new session was refused.
    refused: Arc<Mutex<Option<StoreError>>>,
}

impl Calls {
    pub(crate) async fn open(options: PgConnectOptions, held: Held) -> Result<Self, StoreError> {
        let refused = Arc::<Mutex<Option<StoreError>>>::default();
        let last = Arc::clone(&refused);
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE)
            .after_connect(move |connection, _| {
                let last = Arc::clone(&last);
                Box::pin(async move {
                    let checked = session::check(connection).await;
                    *last.lock() = checked.clone().err();
                    checked.map_err(|error| sqlx::Error::Configuration(error.into()))
                })
            })
            .after_release(|connection, _| Box::pin(out_of_any_transaction(connection)))
            .connect_with(options)
            .await
            .map_err(during("connect"))?;
        Ok(Self {
            pool,
            held,
            unsettled: Arc::default(),
            refused,
        })
    }

    /// One read: each statement sees what was committed before it.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let calls = self.clone();
        to_its_end(name, async move {
            let mut connection = calls.acquire(name).await?;
            let done = tokio::time::timeout(LIMIT, work(&mut connection)).await;
            done.unwrap_or_else(|_| {
                connection.close_on_drop();
                Err(lost(name, "no answer"))
            })
        })
        .await
    }

    /// One transaction: committed when the work went well. After [`StoreError::Unavailable`] it may have been
    /// committed; whoever looks then sees whether it was.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_within(name, LIMIT, work).await
    }

    pub(crate) async fn write_within<T: Send + 'static>(
        &self,
        name: &'static str,
        limit: Duration,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let calls = self.clone();
        to_its_end(name, async move {
            calls.held.check()?;
            let mut connection = calls.acquire(name).await?;
            let mut committing = None;
            let done = transaction(&mut connection, name, work, &mut committing);
            let done = tokio::time::timeout(limit, done).await;
            let done = done.unwrap_or_else(|_| Err(lost(name, "no answer")));
            if let Some(backend) = committing {
                calls.unsettled.lock().push(backend);
                connection.close_on_drop();
            } else if matches!(done, Err(StoreError::Unavailable(_))) {
                connection.close_on_drop();
            }
            done
        })
        .await
    }

    /// Ends sessions of others that serve the same database, and waits until they are gone.
    pub(crate) async fn end_others(&self, application: &'static str) -> Result<(), StoreError> {
        let others = sqlx::query(
            "SELECT pid, backend_start::text FROM pg_stat_activity
             WHERE application_name = $1 AND datname = current_database() AND usename = current_user
                   AND backend_start < (SELECT backend_start FROM pg_stat_activity WHERE pid = $2)",
        );
        let pid = self.held.pid();
        let mut connection = self.acquire("end sessions").await?;
        let found = others
            .bind(application)
            .bind(pid)
            .fetch_all(&mut *connection);
        let found = found.await.map_err(during("find sessions"))?;
        let others: Result<Vec<Backend>, _> = found.iter().map(backend).collect();
        for other in others.map_err(during("find sessions"))? {
            end(&mut connection, &other).await?;
        }
        Ok(())
    }

    /// Waits for what is under way.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    async fn acquire(&self, name: &'static str) -> Result<PoolConnection<Postgres>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(|error| match error {
            sqlx::Error::PoolTimedOut => {
                let refused = self.refused.lock().clone();
                refused.unwrap_or_else(|| lost(name, "no connection"))
            }
            other => during(name)(other),
        })?;
        let unsettled = self.unsettled.lock().clone();
        for backend in unsettled {
            end(&mut connection, &backend).await?;
            self.unsettled.lock().retain(|it| *it != backend);
        }
        Ok(connection)
    }
}

/// Cancelling the caller leaves the task running.
async fn to_its_end<T: Send + 'static>(
    name: &'static str,
    call: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::spawn(call).await;
    done.unwrap_or_else(|_| Err(lost(name, "its task ended")))
}

/// `committing` holds the session from when COMMIT is sent until it is answered.
async fn transaction<T>(
    connection: &mut PgConnection,
    name: &'static str,
    work: impl for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T>,
    committing: &mut Option<Backend>,
) -> Result<T, StoreError> {
    let begin =
        "BEGIN; SELECT pid, backend_start::text FROM pg_stat_get_activity(pg_backend_pid())";
    let begun = connection.fetch_one(begin).await.map_err(during(name))?;
    let backend = backend(&begun).map_err(during(name))?;
    let done = work(&mut *connection).await;
    if done.is_err() {
        // One that fails closes the connection when it comes back.
        let _ = connection.execute("ROLLBACK").await;
        return done;
    }
    *committing = Some(backend);
    connection.execute("COMMIT").await.map_err(|error| {
        StoreError::Unavailable(format!("{name}: it may have been committed: {error}"))
    })?;
    *committing = None;
    done
}

/// A connection that is in no transaction begins one and ends it; one that is in a transaction ends that, or
/// fails, which closes it.
async fn out_of_any_transaction(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    connection.execute("BEGIN; ROLLBACK").await.map(|_| true)
}

/// Ends a session, and waits until it is gone: what it did is decided then.
async fn end(connection: &mut PgConnection, (pid, began): &Backend) -> Result<(), StoreError> {
    let gone = async {
        for pause in [1, 2, 4, 8, 16, 32]
            .into_iter()
            .chain(std::iter::repeat(50))
        {
            let ended = sqlx::query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE pid = $1 AND backend_start::text = $2",
            );
            let ended = ended.bind(pid).bind(began).fetch_optional(&mut *connection);
            if ended.await.map_err(during("end a session"))?.is_none() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        Ok(())
    };
    let gone = tokio::time::timeout(ENDED, gone).await;
    gone.unwrap_or_else(|_| Err(lost("end a session", "it does not end")))
}

fn backend(row: &sqlx::postgres::PgRow) -> Result<Backend, sqlx::Error> {
    Ok((row.try_get(0)?, row.try_get(1)?))
}

fn lost(name: &str, why: &str) -> StoreError {
    StoreError::Unavailable(format!("{name}: {why}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use lethe_testkit::postgres::{PORT, ROLE, Server};

    use super::*;
    use crate::connect::Connect;

    /// In a simple query, whose time is that of its transaction when it is alone in it.
    const INSIDE: &str = "SELECT now() <> statement_timestamp() OR to_regclass('half') IS NOT NULL";

    /// As sqlx leaves one whose `begin` was dropped.
    #[tokio::test]
    async fn a_connection_comes_back_out_of_any_transaction() {
        let server = Server::shared();
        let connect = Connect {
            host: server.socket().to_str().unwrap().to_owned(),
            port: PORT,
            database: server.database(),
            user: ROLE.into(),
            password: None,
            tls: None,
        };
        let calls = Calls::open(connect.options(), Held::default());
        let calls = calls.await.unwrap();
        for left in ["BEGIN", "BEGIN; CREATE TABLE half ()"] {
            let begun = calls.read("leave", move |connection| {
                Box::pin(async move { connection.execute(left).await.map_err(during("leave")) })
            });
            begun.await.unwrap();
            // It comes back in a task of its own.
            while calls.pool.num_idle() != calls.pool.size() as usize {
                tokio::task::yield_now().await;
            }
            let inside = calls.read("look", |connection| {
                Box::pin(async move {
                    let inside = connection.fetch_one(INSIDE).await.map_err(during("look"))?;
                    inside.try_get::<bool, _>(0).map_err(during("look"))
                })
            });
            assert!(!inside.await.unwrap(), "{left}");
        }
        calls.close().await;
    }
}
