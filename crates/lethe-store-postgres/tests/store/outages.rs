//! What an operator reads when PostgreSQL does not do its part, and that the store goes on when it does again.

use std::sync::Arc;

use lethe_core::ports::{BucketStore, StoreError};
use lethe_store_postgres::{Connect, PostgresStore};
use lethe_testkit::postgres::{ROLE, Server};
use lethe_testkit::store_contract::bucket;

use crate::pooler::{NO_EDITS, Pooler};
use crate::site::{Site, until_async};

fn why<T: std::fmt::Debug>(done: Result<T, StoreError>) -> String {
    match done {
        Err(StoreError::Unavailable(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// The store writes again after a while.
async fn goes_on(store: &PostgresStore, expiry: u64) {
    let row = bucket(expiry);
    until_async("the store goes on", async || {
        store
            .create_buckets(std::slice::from_ref(&row))
            .await
            .is_ok()
            || store.buckets().await.is_ok_and(|all| all.contains(&row))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_says_what_is_missing() {
    let site = Site::new(Server::shared());
    let elsewhere = Connect {
        database: "nowhere".into(),
        ..site.connect()
    };
    assert_eq!(
        why(site.try_open(&elsewhere).await),
        "connect: PostgreSQL has no such database (database \"nowhere\" does not exist)"
    );
    let database = &site.database;
    site.sql(&format!("ALTER DATABASE {database} OWNER TO postgres"));
    let created = PostgresStore::create(&site.connect(), &site.lock()).await;
    assert_eq!(
        why(created),
        "migrate: the database role lacks a right: the database has to belong to it \
         (permission denied for schema public)"
    );
    site.sql(&format!(
        "ALTER DATABASE {database} OWNER TO {ROLE}; ALTER DATABASE {database} CONNECTION LIMIT 0"
    ));
    assert_eq!(
        why(site.try_open(&site.connect()).await),
        format!(
            "connect: PostgreSQL takes no more connections (too many connections for database \
             \"{database}\")"
        )
    );
    site.sql("DROP SCHEMA public");
    site.sql(&format!("ALTER DATABASE {database} CONNECTION LIMIT -1"));
    let created = PostgresStore::create(&site.connect(), &site.lock()).await;
    assert_eq!(
        why(created),
        "migrate: the database has no schema public (no schema has been selected to create in)"
    );
}

/// The codes are raised by a trigger: what a server does beside them, a full disk for one, is not shown here.
#[tokio::test(flavor = "multi_thread")]
async fn the_store_says_what_the_server_lacks() {
    let site = Site::new(Server::shared());
    let store = site.create().await;
    let causes = [
        (
            "25006",
            "PostgreSQL is read-only: it is a standby, or default_transaction_read_only is on",
        ),
        ("53100", "the disk of PostgreSQL is full"),
        ("53200", "PostgreSQL has no memory left"),
        ("55P03", "another session holds a lock"),
        ("57014", "the statement took too long"),
        (
            "57P01",
            "PostgreSQL stops, starts, or has ended the session",
        ),
    ];
    for (expiry, (code, cause)) in (0..).zip(causes) {
        site.sql(&format!(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'thus' USING ERRCODE = '{code}'; END $$;
             CREATE TRIGGER fail BEFORE INSERT ON bucket_share EXECUTE FUNCTION fail()"
        ));
        let created = store.create_buckets(&[bucket(expiry)]).await;
        assert_eq!(why(created), format!("create buckets: {cause} (thus)"));
        site.sql("DROP FUNCTION fail CASCADE");
        assert_eq!(store.create_buckets(&[bucket(expiry)]).await, Ok(()));
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_goes_on_when_the_server_does() {
    let server = Server::new();
    let site = Site::new(&server);
    let store = site.create().await;
    let database = &site.database;
    // Its sessions are ended, and it gets no others than that with the lock.
    site.sql(&format!("ALTER DATABASE {database} CONNECTION LIMIT 1"));
    site.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lethe'",
    );
    site.until_sessions(0, "true");
    let limited = why(store.buckets().await);
    assert!(
        limited.starts_with("connect: PostgreSQL takes no more connections"),
        "{limited}"
    );
    site.sql(&format!("ALTER DATABASE {database} CONNECTION LIMIT -1"));
    goes_on(&store, 1).await;
    server.stop("fast");
    let stopped = why(store.buckets().await);
    assert!(
        stopped.starts_with("connect: no connection to PostgreSQL"),
        "{stopped}"
    );
    server.start();
    goes_on(&store, 2).await;
    store.close().await;
}

/// The session that holds the lock is not answered either: it is given up, and taken again.
#[tokio::test(flavor = "multi_thread")]
async fn the_store_goes_on_when_answers_come_again() {
    let site = Site::new(Server::shared());
    site.create().await.close().await;
    let pooler = Pooler::new(site.server.socket(), NO_EDITS);
    let connect = site.connect_through(pooler.socket());
    let store = Arc::new(site.try_open(&connect).await.unwrap());
    assert_eq!(store.create_buckets(&[bucket(1)]).await, Ok(()));
    pooler.hold(true);
    let silent = why(store.buckets().await);
    assert_eq!(silent, "read buckets: PostgreSQL does not answer");
    until_async("the lock is lost", async || {
        store.create_buckets(&[bucket(2)]).await
            == Err(StoreError::Unavailable(
                "the session that holds the lock on the database was lost".into(),
            ))
    })
    .await;
    let start = PostgresStore::open(&connect, &site.lock().with_extension("other")).await;
    assert_eq!(why(start), "connect: PostgreSQL does not answer");
    pooler.hold(false);
    goes_on(&store, 3).await;
    store.close().await;
}
