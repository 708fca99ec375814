//! Copies of the database: what must be on all of them, what on enough of them, and who serves when the primary
//! changes.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use lethe_core::ports::{BucketStore, Durability, StoreError, Strength};
use lethe_store_postgres::{Connect, Member, MemberRole, PostgresStore};
use lethe_testkit::postgres::Server;
use lethe_testkit::store_contract::bucket;

use crate::site::{Site, host, until_async};

fn why<T: std::fmt::Debug>(done: Result<T, StoreError>) -> String {
    match done {
        Err(StoreError::Unavailable(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// Why the store cannot be served any more.
async fn ended(store: &PostgresStore) -> &'static str {
    let ended = tokio::time::timeout(Duration::from_secs(60), store.ended());
    ended.await.expect("it ends within a minute")
}

/// A primary `a` with standbys of these names, and how to connect to all of them.
struct Copies<'s> {
    site: Site<'s>,
    standbys: Vec<Server>,
    connect: Connect,
}

impl<'s> Copies<'s> {
    fn new(server: &'s Server, names: &[&str]) -> Self {
        let site = Site::new(server);
        let standbys: Vec<Server> = names.iter().map(|name| server.standby(name)).collect();
        let mut connect = site.connect();
        for (name, standby) in names.iter().zip(&standbys) {
            let socket = standby.socket().to_str().unwrap();
            connect.hosts.push(host(name, socket));
        }
        Self {
            site,
            standbys,
            connect,
        }
    }

    async fn create(&self) -> PostgresStore {
        let created = PostgresStore::create(&self.connect, &self.site.lock()).await;
        created.unwrap()
    }

    fn other_lock(&self) -> PathBuf {
        self.site.lock().with_extension("other")
    }

    /// Another node opens the store when it is free.
    async fn open_elsewhere(&self) -> PostgresStore {
        let mut opened = PostgresStore::open(&self.connect, &self.other_lock()).await;
        until_async("the lock is free", async || {
            if opened.is_err() {
                opened = PostgresStore::open(&self.connect, &self.other_lock()).await;
            }
            opened.is_ok()
        })
        .await;
        opened.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_barrier_waits_for_every_member() {
    let server = Server::new();
    let copies = Copies::new(&server, &["b"]);
    let store = copies.create().await;
    assert_eq!(store.barrier(Strength::Destroying).await, Ok(()));
    copies.standbys[0].stop("fast");
    let missing = why(store.barrier(Strength::Destroying).await);
    assert_eq!(missing, "the copy b does not follow the primary a");
    let members = copies.connect.members().await.unwrap();
    let roles: Vec<_> = members
        .iter()
        .map(|it| (it.host.name.as_str(), it.role))
        .collect();
    assert_eq!(roles, [("a", MemberRole::Primary), ("b", MemberRole::Away)]);
    // What is written has to be on the primary alone.
    assert_eq!(store.create_buckets(&[bucket(1)]).await, Ok(()));
    assert_eq!(store.confirm_alone().await, Ok(()));
    copies.standbys[0].start();
    until_async("b follows again", async || {
        store.barrier(Strength::Destroying).await.is_ok()
    })
    .await;
    store.close().await;
}

/// It follows, and writes nothing to its disk.
#[tokio::test(flavor = "multi_thread")]
async fn the_barrier_waits_for_a_member_that_is_behind() {
    let server = Server::new();
    let copies = Copies::new(&server, &["b"]);
    let refused = why(copies.connect.members().await);
    assert!(refused.starts_with("no store in the database"), "{refused}");
    let store = copies.create().await;
    let receiver = copies.standbys[0].sql("postgres", "SELECT pid FROM pg_stat_wal_receiver");
    let signal = |name: &str| {
        let done = Command::new("kill").args([name, &receiver]).status();
        assert!(done.unwrap().success());
    };
    signal("-STOP");
    let missing = why(store.barrier(Strength::Destroying).await);
    assert_eq!(missing, "the copy b is behind the primary a");
    let members = copies.connect.members().await.unwrap();
    let is_behind = |it: &Member| matches!(it.role, MemberRole::Follows(bytes) if bytes > 0);
    assert!(members.iter().any(is_behind), "{members:?}");
    signal("-CONT");
    until_async("b has it", async || {
        store.barrier(Strength::Destroying).await.is_ok()
    })
    .await;
    store.close().await;
}

/// A member that is stopped for good is taken off; the primary is not.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_says_who_is_a_member() {
    let server = Server::new();
    let copies = Copies::new(&server, &["b"]);
    let store = copies.create().await;
    let off = async |name: &str| copies.connect.set_members(&[], &[name.to_owned()]).await;
    let refused = why(off("a").await);
    assert!(refused.ends_with("a is the primary: promote another one first"));
    assert!(why(off("z").await).ends_with("z is no member"));
    // It is still there: a copy that is no member.
    assert_eq!(off("b").await, Ok(()));
    let refused = why(store.barrier(Strength::Destroying).await);
    assert!(refused.contains("follows it (b at"), "{refused}");
    copies.standbys[0].stop("fast");
    until_async("a is alone", async || {
        store.barrier(Strength::Destroying).await.is_ok()
    })
    .await;
    let moved = [host("b", "/elsewhere")];
    assert_eq!(copies.connect.set_members(&moved, &[]).await, Ok(()));
    let missing = why(store.barrier(Strength::Destroying).await);
    assert_eq!(missing, "the copy b does not follow the primary a");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_is_on_enough_members() {
    let server = Server::new();
    let mut copies = Copies::new(&server, &["b", "c"]);
    copies.connect.durable_on = 2;
    let store = copies.create().await;
    copies.standbys[0].stop("fast");
    assert_eq!(store.create_buckets(&[bucket(1)]).await, Ok(()));
    assert_eq!(store.confirm_alone().await, Ok(()));
    copies.standbys[1].stop("fast");
    let missing = "it is on 1 of the 2 copies of the database on which it has to be";
    assert_eq!(why(store.create_buckets(&[bucket(2)]).await), missing);
    assert_eq!(why(store.confirm_alone().await), missing);
    copies.standbys[0].start();
    until_async("b follows again", async || {
        store.confirm_alone().await.is_ok()
    })
    .await;
    store.close().await;
}

/// Its process may have been stopped: it goes on as if nothing had happened.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_replaced_writes_nothing() {
    let server = Server::new();
    let copies = Copies::new(&server, &[]);
    let site = &copies.site;
    let store = copies.create().await;
    assert_eq!(store.confirm_alone().await, Ok(()));
    // Another node has the lock, and this one does not know it yet.
    let mut thief = site.session().await;
    sqlx::Executor::execute(&mut thief, "UPDATE fence SET epoch = epoch + 1")
        .await
        .unwrap();
    assert_eq!(
        why(store.create_buckets(&[bucket(1)]).await),
        "another node serves the database"
    );
    assert_eq!(
        why(store.confirm_alone().await),
        "another node serves the database"
    );
    assert_eq!(store.buckets().await, Ok(vec![]));
    site.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lethe lock'",
    );
    assert_eq!(ended(&store).await, "another node serves the database now");
    store.close().await;
}

/// The lock is in the server, and this process has lost it without a word.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_lost_confirms_nothing() {
    let server = Server::new();
    let copies = Copies::new(&server, &[]);
    let store = copies.create().await;
    let mut blocker = copies.site.session().await;
    let ended = copies.site.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lethe lock'",
    );
    assert_eq!(ended, "t");
    let key = "SELECT pg_advisory_lock(x'6c65746865'::bigint)";
    sqlx::Executor::execute(&mut blocker, key).await.unwrap();
    until_async("it confirms nothing", async || {
        store.confirm_alone().await.is_err()
    })
    .await;
    drop(blocker);
    until_async("nobody else has served", async || {
        store.confirm_alone().await.is_ok()
    })
    .await;
    assert_eq!(store.create_buckets(&[bucket(1)]).await, Ok(()));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_promoted_copy_is_served_by_a_new_start() {
    let server = Server::new();
    let copies = Copies::new(&server, &["b"]);
    let store = copies.create().await;
    assert_eq!(store.create_buckets(&[bucket(1)]).await, Ok(()));
    assert_eq!(store.barrier(Strength::Destroying).await, Ok(()));
    server.stop("immediate");
    copies.standbys[0].promote();
    assert_eq!(
        ended(&store).await,
        "another copy of the database is the primary now"
    );
    assert!(store.create_buckets(&[bucket(2)]).await.is_err());
    store.close().await;
    let store = copies.open_elsewhere().await;
    assert_eq!(store.buckets().await, Ok(vec![bucket(1)]));
    assert_eq!(store.create_buckets(&[bucket(2)]).await, Ok(()));
    // The old primary has to follow before anything is destroyed.
    let missing = why(store.barrier(Strength::Destroying).await);
    assert_eq!(missing, "the copy a does not follow the primary b");
    store.close().await;
    drop(store);
    // It lives on beside the new one: the newer history counts.
    server.start();
    let store = copies.open_elsewhere().await;
    assert_eq!(store.buckets().await, Ok(vec![bucket(1), bucket(2)]));
    store.close().await;
}

/// An old primary that nobody has stopped, and a machine that takes connections and never answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_primary_is_found_beside_the_old_one_and_a_silent_one() {
    let server = Server::new();
    let mut copies = Copies::new(&server, &["b"]);
    let silent = tempfile::tempdir().unwrap();
    let listener = std::os::unix::net::UnixListener::bind(silent.path().join(".s.PGSQL.5432"));
    let _listener = listener.unwrap();
    let silent = host("c", silent.path().to_str().unwrap());
    copies.connect.hosts.push(silent);
    let store = copies.create().await;
    assert_eq!(store.create_buckets(&[bucket(1)]).await, Ok(()));
    copies.standbys[0].promote();
    assert_eq!(
        ended(&store).await,
        "another copy of the database is the primary now"
    );
    assert!(store.create_buckets(&[bucket(2)]).await.is_err());
    store.close().await;
    let store = copies.open_elsewhere().await;
    assert_eq!(store.buckets().await, Ok(vec![bucket(1)]));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_at_another_address_is_refused() {
    let server = Server::new();
    let copies = Copies::new(&server, &[]);
    copies.create().await.close().await;
    let clone = server.copy();
    let mut connect = copies.connect.clone();
    connect.hosts = vec![host("a", clone.socket().to_str().unwrap())];
    let refused = why(PostgresStore::open(&connect, &copies.other_lock())
        .await
        .map(drop));
    assert!(refused.starts_with("the copies: a is at "), "{refused}");
    // Two that can be written and have one history: nobody knows which is the clone.
    let mut both = copies.connect.clone();
    both.hosts.push(host("b", clone.socket().to_str().unwrap()));
    let refused = why(PostgresStore::open(&both, &copies.other_lock())
        .await
        .map(drop));
    assert!(refused.ends_with("one of them is a clone"), "{refused}");
}
