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
use sqlx::postgres::PgConnectOptions;
use sqlx::{Executor, PgConnection, Row};

use crate::backends::{Backend, backend, end};
use crate::errors::{during, failed, within};
use crate::guard::{Held, replaced};
use crate::members::{On, wait_for_commit};
use crate::pool::{Lent, Pool};

/// Longest time of one call: the server's own limits are shorter, so only a lost connection reaches it.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// What a call does with its connection.
pub(crate) type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'c>>;

/// The connections of a store, and what is left to be ended.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    pool: Arc<Pool>,
    held: Held,
    /// The name of the member that is the primary.
    here: Arc<str>,
    durable_on: On,
    /// Sessions whose COMMIT was not answered.
    unsettled: Arc<Mutex<Vec<Backend>>>,
}

impl Calls {
    pub(crate) fn new(options: PgConnectOptions, held: Held, here: &str, durable_on: u32) -> Self {
        Self {
            pool: Pool::new(options),
            held,
            here: here.into(),
            durable_on: On::Members(durable_on),
            unsettled: Arc::default(),
        }
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
            let done = within(LIMIT, name, work(&mut connection)).await;
            if !matches!(done, Err(StoreError::Unavailable(_))) {
                connection.give_back();
            }
            done
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
            let fence = calls.held.fence()?;
            let mut connection = calls.acquire(name).await?;
            let mut committing = None;
            let done = transaction(&mut connection, name, fence, work, &mut committing);
            let done = within(limit, name, done).await;
            if let Some(backend) = committing {
                calls.unsettled.lock().push(backend);
            } else if !matches!(done, Err(StoreError::Unavailable(_))) {
                let done = match done {
                    Ok(done) => {
                        let on = calls.durable_on;
                        let flushed = wait_for_commit(&mut connection, &calls.here, on).await;
                        flushed.map(|()| done)
                    }
                    failed => failed,
                };
                connection.give_back();
                return done;
            }
            done
        })
        .await
    }

    /// On how many members something has to be before it is answered or used.
    pub(crate) const fn durable_on(&self) -> On {
        self.durable_on
    }

    /// Waits for what is under way.
    pub(crate) async fn close(&self) {
        self.pool.close(LIMIT).await;
    }

    async fn acquire(&self, name: &'static str) -> Result<Lent, StoreError> {
        let mut connection = self.pool.acquire(name).await?;
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
    done.unwrap_or_else(|_| Err(failed(name, "its task ended")))
}

/// `committing` holds the session from when COMMIT is sent until it is answered.
async fn transaction<T>(
    connection: &mut PgConnection,
    name: &'static str,
    fence: i64,
    work: impl for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T>,
    committing: &mut Option<Backend>,
) -> Result<T, StoreError> {
    let begin = "BEGIN; SELECT pid, backend_start::text, (SELECT epoch FROM fence)
                 FROM pg_stat_get_activity(pg_backend_pid())";
    let begun = connection.fetch_one(begin).await.map_err(during(name))?;
    let backend = backend(&begun).map_err(during(name))?;
    let newest: i64 = begun.try_get(2).map_err(during(name))?;
    let done = match newest == fence {
        true => work(&mut *connection).await,
        false => Err(replaced()),
    };
    if done.is_err() {
        // Where that fails, the connection is found to be dead, or in a transaction, before it is used again.
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::connect::{Connect, Host};
    use lethe_testkit::postgres::{PORT, ROLE, Server};

    /// In a simple query, whose time is that of its transaction when it is alone in it.
    const INSIDE: &str = "SELECT now() <> statement_timestamp() OR to_regclass('half') IS NOT NULL";

    /// As sqlx leaves one whose `begin` was dropped.
    #[tokio::test]
    async fn a_connection_is_taken_out_of_any_transaction() {
        let server = Server::shared();
        let host = Host {
            name: "a".into(),
            host: server.socket().to_str().unwrap().to_owned(),
            port: PORT,
        };
        let connect = Connect {
            hosts: vec![host.clone()],
            durable_on: 1,
            database: server.database(),
            user: ROLE.into(),
            password: None,
            tls: None,
        };
        let calls = Calls::new(connect.options(&host), Held::default(), "a", 1);
        for left in ["BEGIN", "BEGIN; CREATE TABLE half ()"] {
            let begun = calls.read("leave", move |connection| {
                Box::pin(async move { connection.execute(left).await.map_err(during("leave")) })
            });
            begun.await.unwrap();
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
