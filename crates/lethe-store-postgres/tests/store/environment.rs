//! What the environment, the role and the database say does not change which tables are used, nor how.

use std::path::Path;
use std::process::{Command, Output};

use lethe_core::ports::{BucketStore, StoreError};
use lethe_store_postgres::PostgresStore;
use lethe_testkit::postgres::Server;
use lethe_testkit::store_contract::bucket;

use crate::site::Site;

/// Database, socket and lock, for the test when it runs itself again.
const SITE: [&str; 3] = [
    "LETHE_TEST_DATABASE",
    "LETHE_TEST_SOCKET",
    "LETHE_TEST_LOCK",
];

/// What libpq or sqlx takes from the environment, and where it would lead.
const LEFT_OUT: [&str; 14] = [
    "PGAPPNAME",
    "PGDATABASE",
    "PGHOST",
    "PGHOSTADDR",
    "PGPASSFILE",
    "PGPASSWORD",
    "PGPORT",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "PGTARGETSESSIONATTRS",
    "PGTZ",
    "PGUSER",
];

/// Opens the store, and writes; what went wrong comes out as the name of a panic.
async fn open_here(database: &str) {
    let [_, socket, lock] = SITE.map(|name| std::env::var(name).unwrap());
    let server = Site::connect_to(database, Path::new(&socket));
    match PostgresStore::open(&server, Path::new(&lock)).await {
        Ok(store) => {
            assert_eq!(store.create_buckets(&[bucket(1)]).await, Ok(()));
            store.close().await;
        }
        Err(StoreError::Unavailable(why)) => panic!("refused: {why}"),
        Err(other) => panic!("{other:?}"),
    }
}

fn again(site: &Site<'_>, variables: &[&str]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let test = "environment::the_environment_changes_nothing";
    command.args(["--exact", test, "--nocapture"]);
    let lock = site.lock();
    let values = [
        site.database.as_ref(),
        site.server.socket().as_os_str(),
        lock.as_os_str(),
    ];
    command.envs(SITE.into_iter().zip(values));
    // No host, no number, no file: whoever takes it fails.
    command.envs(variables.iter().map(|name| (name, "-c role=nobody")));
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_changes_nothing() {
    if let Ok(database) = std::env::var(SITE[0]) {
        return open_here(&database).await;
    }
    let site = Site::new(Server::shared());
    site.create().await.close().await;
    let opened = again(&site, &LEFT_OUT);
    assert!(opened.status.success(), "{opened:?}");
    assert_eq!(site.sql("SELECT count(*) FROM bucket_share"), "1");
    for name in ["PGOPTIONS", "PGSSLCERT", "PGSSLKEY"] {
        let refused = again(&site, &[name]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        let expected = format!(
            "refused: the environment sets {name}, which would change the connection to \
             PostgreSQL: unset it"
        );
        assert!(
            !refused.status.success() && said.contains(&expected),
            "{said}"
        );
    }
}

/// Tables of the same names stand in the schema of the role's name, and in one that the database names first.
#[tokio::test(flavor = "multi_thread")]
async fn tables_of_other_schemas_are_not_used() {
    let site = Site::new(Server::shared());
    site.create().await.close().await;
    let database = &site.database;
    for schema in ["lethe", "first"] {
        site.sql(&format!(
            "CREATE SCHEMA {schema}; GRANT ALL ON SCHEMA {schema} TO lethe;
             CREATE TABLE {schema}.schema AS SELECT 99 AS version, 99 AS readable_by;
             GRANT ALL ON {schema}.schema TO lethe"
        ));
    }
    for path in ["\"$user\", public", "first, public"] {
        site.sql(&format!(
            "ALTER DATABASE {database} SET search_path = {path}"
        ));
        site.open().await.close().await;
    }
}
