//! Settings of every session, and what is refused: a server or a session that cannot keep what it says.

use std::time::Duration;

use lethe_core::ports::StoreError;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{ConnectOptions, Executor, PgConnection, Row};

use crate::errors::{READ_ONLY, during};

/// Set by us on every connection. `synchronous_commit = local`: a COMMIT waits for this server's disk and for
/// no other's, because a standby that is away would hang one that holds row locks. `search_path`: tables of the
/// same names in other schemas are not ours.
pub(crate) const SETTINGS: [(&str, &str); 6] = [
    ("synchronous_commit", "local"),
    ("idle_in_transaction_session_timeout", "2s"),
    ("lock_timeout", "4s"),
    ("statement_timeout", "5s"),
    ("default_transaction_isolation", "read committed"),
    ("search_path", "public"),
];

/// Set by us too: when the machine of this process dies or is cut off, the server ends its sessions, and with
/// them their locks, after about 10 s. On a socket they are 0.
pub(crate) const KEEPALIVE: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "10000"),
];

/// `server_version_num` of PostgreSQL 14.
const OLDEST: u32 = 140_000;

/// A notification comes within a millisecond.
const LISTEN_LIMIT: Duration = Duration::from_secs(3);

/// Why this server, or this session, is not used. The texts stay as they are: people look for them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("PostgreSQL {0} is too old: the store needs 14 or newer")]
    Old(u32),
    #[error("{READ_ONLY}")]
    ReadOnly,
    #[error("PostgreSQL has {0} = off: a crash can lose what it has committed. Switch it on")]
    Off(&'static str),
    #[error("the database role does not see pg_stat_replication: GRANT pg_read_all_stats TO {0}")]
    Blind(String),
    #[error(
        "{name} is {found} in a session that has set {set}: is a connection pooler in between? \
         Connect to PostgreSQL itself"
    )]
    Setting {
        name: &'static str,
        found: String,
        set: &'static str,
    },
    #[error(
        "LISTEN does not work: is a connection pooler in between? Connect to PostgreSQL itself"
    )]
    Deaf,
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        Self::Unavailable(refusal.to_string())
    }
}

/// A new session, fit for the store.
pub(crate) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let connection = options.connect().await.map_err(during("connect"));
    let mut connection = connection.map_err(|error| match error {
        // A setting that the server does not know, for one: no row was read.
        StoreError::Corrupt(why) => StoreError::Unavailable(why),
        other => other,
    })?;
    check(&mut connection).await?;
    Ok(connection)
}

/// Looks at a session and its server. Whoever reloads the server's configuration can change the answer.
pub(crate) async fn check(connection: &mut PgConnection) -> Result<(), StoreError> {
    match connection.server_version_num() {
        Some(version) if version < OLDEST => return Err(Refusal::Old(version / 10_000).into()),
        _ => {}
    }
    let row = sqlx::query(
        "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
                current_setting('fsync'), current_setting('full_page_writes'),
                pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'), current_user::text,
                current_setting('synchronous_commit'),
                current_setting('idle_in_transaction_session_timeout'),
                current_setting('lock_timeout'), current_setting('statement_timeout'),
                current_setting('default_transaction_isolation'),
                current_setting('search_path'),
                current_setting('tcp_keepalives_idle'), current_setting('tcp_keepalives_interval'),
                current_setting('tcp_keepalives_count'), current_setting('tcp_user_timeout'),
                inet_client_addr() IS NULL",
    )
    .fetch_one(connection)
    .await
    .map_err(during("look at the server"))?;
    let text = |index: usize| row.try_get::<String, _>(index);
    let refusal = || -> Result<Option<Refusal>, sqlx::Error> {
        if row.try_get::<bool, _>(0)? {
            return Ok(Some(Refusal::ReadOnly));
        }
        for (index, name) in [(1, "fsync"), (2, "full_page_writes")] {
            if text(index)? != "on" {
                return Ok(Some(Refusal::Off(name)));
            }
        }
        if !row.try_get::<bool, _>(3)? {
            return Ok(Some(Refusal::Blind(text(4)?)));
        }
        let is_socket: bool = row.try_get(row.len() - 1)?;
        let keepalive = KEEPALIVE.map(|(name, set)| (name, if is_socket { "0" } else { set }));
        for (index, (name, set)) in (5..).zip(SETTINGS.into_iter().chain(keepalive)) {
            let found = text(index)?;
            if found != set {
                return Ok(Some(Refusal::Setting { name, found, set }));
            }
        }
        Ok(None)
    };
    match refusal().map_err(during("look at the server"))? {
        None => Ok(()),
        Some(refusal) => Err(refusal.into()),
    }
}

/// Whether a session hears what another one says: through a pooler it does not, and what is set in it may be
/// another client's.
pub(crate) async fn check_listen(options: &PgConnectOptions) -> Result<(), StoreError> {
    let failed = during("listen");
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(LISTEN_LIMIT);
    let pool = pool.connect_with(options.clone()).await.map_err(&failed)?;
    let heard = async {
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen("lethe_hello").await?;
        pool.execute("NOTIFY lethe_hello").await?;
        listener.recv().await.map(drop)
    };
    let heard = tokio::time::timeout(LISTEN_LIMIT, heard).await;
    // Its listener may still hold a connection.
    drop(pool);
    match heard {
        Ok(heard) => heard.map_err(failed),
        Err(_) => Err(Refusal::Deaf.into()),
    }
}
