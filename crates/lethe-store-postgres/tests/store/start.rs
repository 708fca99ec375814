//! What a start ends: what an earlier process has left, and nothing else.

use lethe_core::ports::BucketStore;
use lethe_store_postgres::PostgresStore;
use lethe_testkit::postgres::{PORT, ROLE, Server};
use lethe_testkit::store_contract::bucket;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Executor};

use crate::site::Site;

const ENDED: &str = "terminating connection due to administrator command";

async fn session(site: &Site<'_>, database: &str, application: &str) -> PgConnection {
    let options = PgConnectOptions::new_without_pgpass()
        .host(site.server.socket().to_str().unwrap())
        .port(PORT)
        .database(database)
        .username(ROLE)
        .ssl_mode(PgSslMode::Disable)
        .application_name(application);
    options.connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_ends_no_session_of_its_own() {
    let server = Server::new();
    let site = Site::new(&server);
    for _ in 0..3 {
        let opened = site.try_open(&site.connect()).await;
        let store = match opened {
            Ok(store) => store,
            Err(_) => site.create().await,
        };
        assert_eq!(store.buckets().await, Ok(vec![]));
        store.close().await;
    }
    let log = server.logged();
    assert!(!log.contains(ENDED), "{log}");
}

/// Its last COMMIT may be under way.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_ends_what_an_earlier_process_has_left() {
    let site = Site::new(Server::shared());
    site.create().await.close().await;
    let other = Site::new(Server::shared());
    let mut left = session(&site, &site.database, "lethe").await;
    let left_open = "BEGIN; INSERT INTO hsm_move (row_id) VALUES (1)";
    left.execute(left_open).await.unwrap();
    let mut elsewhere = session(&site, &other.database, "lethe").await;
    let mut stranger = session(&site, &site.database, "psql").await;
    let store: PostgresStore = site.open().await;
    assert_eq!(store.create_buckets(&[bucket(1)]).await, Ok(()));
    assert!(left.execute("COMMIT").await.is_err());
    assert_eq!(site.sql("SELECT count(*) FROM hsm_move"), "0");
    for spared in [&mut elsewhere, &mut stranger] {
        assert!(spared.execute("SELECT 1").await.is_ok());
    }
    store.close().await;
}
