//! What is not a database of ours, or not ours now, or cannot keep what it says, is refused with the right
//! error.

use lethe_core::ports::{BucketStore, DeploymentStore, Durability, StoreError, Strength};
use lethe_store_postgres::{Connect, PostgresStore};
use lethe_testkit::postgres::{ROLE, Server};
use lethe_testkit::store_contract::bucket;

use crate::pooler::{Edits, NO_EDITS, Pooler, replace};
use crate::site::{Site, host, until, until_async};

/// Of the first message of a session.
type Edit = fn(&mut [u8]);

/// Why it cannot be opened.
async fn refused(site: &Site<'_>, connect: &Connect) -> String {
    match site.try_open(connect).await {
        Err(StoreError::Unavailable(why)) => why,
        other => panic!("{other:?}"),
    }
}

async fn closed_site() -> Site<'static> {
    let site = Site::new(Server::shared());
    site.create().await.close().await;
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_opening_is_refused_while_the_first_lives() {
    let site = Site::new(Server::shared());
    let first = site.create().await;
    let other = site.lock().with_extension("other");
    for lock in [site.lock(), other] {
        let second = PostgresStore::open(&site.connect(), &lock).await;
        assert_eq!(second.unwrap_err(), StoreError::InUse, "{}", lock.display());
    }
    let system = "SELECT system_identifier FROM pg_control_system()";
    let expected = format!("{}:{}", site.sql(system), site.database);
    assert_eq!(first.location().path, expected);
    assert!(first.location().is_same_file(first.location()));
    first.close().await;
    drop(first);
    let third = site.lock().with_extension("third");
    let again = PostgresStore::create(&site.connect(), &third).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))));
    let store = site.open().await;
    assert_eq!(store.create_buckets(&[bucket(1)]).await, Ok(()));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_not_made_by_opening() {
    let site = Site::new(Server::shared());
    let expected = format!(
        "no store in the database {}: lethe init makes one",
        site.database
    );
    assert_eq!(refused(&site, &site.connect()).await, expected);
    assert_eq!(
        site.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"),
        "0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_says_which_releases_may_use_it() {
    let site = closed_site().await;
    assert_eq!(
        site.sql("SELECT max(s.version) - max(m.version) FROM schema s, _sqlx_migrations m"),
        "0"
    );
    site.sql("UPDATE schema SET version = 99, readable_by = 98");
    let newer = site.try_open(&site.connect()).await;
    assert_eq!(newer.unwrap_err(), StoreError::Newer(99));
    site.sql("UPDATE schema SET readable_by = 1");
    site.open().await.close().await;
    assert_eq!(site.sql("SELECT version FROM schema"), "99");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impossible_row_is_corrupt_and_named() {
    let site = closed_site().await;
    site.sql(
        "ALTER TABLE deployment DROP CONSTRAINT deployment_id_check;
         UPDATE deployment SET id = '\\x01'",
    );
    let store = site.open().await;
    let expected = Err(StoreError::Corrupt("deployment.id".into()));
    assert_eq!(store.deployment().await, expected);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_database_is_refused() {
    let site = closed_site().await;
    let database = &site.database;
    site.sql(&format!(
        "ALTER DATABASE {database} SET default_transaction_read_only = on"
    ));
    let why = refused(&site, &site.connect()).await;
    assert!(why.starts_with("PostgreSQL is read-only"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_sees_no_copies_is_refused() {
    let site = closed_site().await;
    site.sql(&format!(
        "CREATE ROLE blind LOGIN IN ROLE {ROLE}; ALTER ROLE blind NOINHERIT"
    ));
    let blind = Connect {
        user: "blind".into(),
        ..site.connect()
    };
    let why = refused(&site, &blind).await;
    assert!(why.ends_with("GRANT pg_read_all_stats TO blind"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_is_refused() {
    let site = closed_site().await;
    let old = Edits {
        server: |kind, body| {
            if kind == b'S' && body.starts_with(b"server_version\0") {
                body[15..17].copy_from_slice(b"13");
            }
            true
        },
        ..NO_EDITS
    };
    let pooler = Pooler::new(site.server.socket(), old);
    let why = refused(&site, &site.connect_through(pooler.socket())).await;
    assert_eq!(why, "PostgreSQL 13 is too old: the store needs 14 or newer");
}

/// As one that is older still: it does not get so far as to say its version.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_know_a_setting_is_refused() {
    let site = closed_site().await;
    let older = Edits {
        startup: |it| replace(it, b"lock_timeout", b"lock_timeoux"),
        ..NO_EDITS
    };
    let pooler = Pooler::new(site.server.socket(), older);
    let why = refused(&site, &site.connect_through(pooler.socket())).await;
    let expected = "connect: unrecognized configuration parameter \"lock_timeoux\"";
    assert_eq!(why, expected);
}

/// Nothing is sent: nobody listens there.
#[tokio::test(flavor = "multi_thread")]
async fn a_network_without_tls_is_refused() {
    let site = closed_site().await;
    let mut connect = site.connect();
    connect.hosts = vec![host("a", "127.0.0.1")];
    let why = refused(&site, &connect).await;
    assert!(
        why.starts_with("PostgreSQL is reached over a network without TLS"),
        "{why}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_is_refused() {
    let site = closed_site().await;
    let deaf = Edits {
        server: |kind, _| kind != b'A',
        ..NO_EDITS
    };
    let pooler = Pooler::new(site.server.socket(), deaf);
    let why = refused(&site, &site.connect_through(pooler.socket())).await;
    assert!(why.starts_with("LISTEN does not work"), "{why}");
    let through = Pooler::new(site.server.socket(), NO_EDITS);
    let through = site.connect_through(through.socket());
    let opened = site.try_open(&through).await;
    opened.unwrap().close().await;
}

/// Each of the settings that a session must have.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_its_settings_is_refused() {
    let site = closed_site().await;
    let edits: [(&str, Edit); 6] = [
        ("synchronous_commit", |it| replace(it, b"=local", b"=off  ")),
        ("idle_in_transaction_session_timeout", |it| {
            replace(
                it,
                b"transaction_session_timeout=2s",
                b"transaction_session_timeout=0s",
            );
        }),
        ("lock_timeout", |it| {
            replace(it, b"lock_timeout=4s", b"lock_timeout=9s")
        }),
        ("statement_timeout", |it| {
            replace(it, b"statement_timeout=5s", b"statement_timeout=0s");
        }),
        ("default_transaction_isolation", |it| {
            replace(it, b"=read\\ committed", b"=serializable   ");
        }),
        ("search_path", |it| {
            replace(it, b"search_path=public", b"search_path=secret");
        }),
    ];
    for (name, startup) in edits {
        let edits = Edits {
            startup,
            ..NO_EDITS
        };
        let pooler = Pooler::new(site.server.socket(), edits);
        let why = refused(&site, &site.connect_through(pooler.socket())).await;
        assert!(why.starts_with(&format!("{name} is ")), "{why}");
    }
}

/// Also when it is switched off under a store that is open.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_flush_is_refused() {
    let server = Server::new();
    let site = Site::new(&server);
    let store = site.create().await;
    assert_eq!(store.barrier(Strength::Destroying).await, Ok(()));
    for name in ["fsync", "full_page_writes"] {
        let set = async |value: &str| {
            server.sql("postgres", &format!("ALTER SYSTEM SET {name} = {value}"));
            server.reload();
            let show = format!("SHOW {name}");
            until(name, || server.sql("postgres", &show) == value);
        };
        set("off").await;
        let why = refused(&Site::new(&server), &site.connect()).await;
        assert!(
            why.starts_with(&format!("PostgreSQL has {name} = off")),
            "{why}"
        );
        // A session that is open hears of it a moment later.
        until_async(name, async || {
            store.barrier(Strength::Destroying).await.is_err()
        })
        .await;
        set("on").await;
        until_async(name, async || {
            store.barrier(Strength::Destroying).await.is_ok()
        })
        .await;
    }
    store.close().await;
}

/// A copy that could be promoted would keep what is destroyed here.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_destroyed_while_a_copy_follows() {
    let server = Server::new();
    let site = Site::new(&server);
    let store = site.create().await;
    assert_eq!(store.barrier(Strength::Destroying).await, Ok(()));
    let standby = server.standby("second");
    let Err(StoreError::Unavailable(why)) = store.barrier(Strength::Destroying).await else {
        panic!("it passed");
    };
    assert!(
        why.starts_with("a copy of the database that is no member follows it (second at"),
        "{why}"
    );
    // The store serves on, and none is opened on the standby.
    assert_eq!(store.create_buckets(&[bucket(1)]).await, Ok(()));
    let why = refused(&Site::new(&server), &site.connect_through(standby.socket())).await;
    assert!(why.starts_with("PostgreSQL is read-only"), "{why}");
    drop(standby);
    until_async("no copy", async || {
        store.barrier(Strength::Destroying).await.is_ok()
    })
    .await;
    store.close().await;
}
