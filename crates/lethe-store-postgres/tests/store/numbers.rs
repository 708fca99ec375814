//! Two accept requests at once.

use std::sync::Arc;

use lethe_core::erasure::ErasureNumber;
use lethe_core::ports::{ErasureStore, StoreError};
use lethe_store_postgres::PostgresStore;
use lethe_testkit::postgres::Server;
use lethe_testkit::store_contract::shred;
use sqlx::Executor;
use tokio::task::JoinHandle;

use crate::site::Site;

fn accept(store: &Arc<PostgresStore>, byte: u8) -> JoinHandle<Result<ErasureNumber, StoreError>> {
    let store = Arc::clone(store);
    tokio::spawn(async move { store.accept(&[shred(byte)]).await })
}

/// Who comes second waits for the first: nobody sees a later number before an earlier one, and one that was given
/// in vain is given again.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_committed_in_their_order() {
    let site = Site::new(Server::shared());
    let store = Arc::new(site.create().await);
    // The COMMIT of the first waits for this lock.
    site.sql(&format!(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON request DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW WHEN (get_byte(NEW.id, 0) = {}) EXECUTE FUNCTION slow()",
        shred(1).id.as_bytes()[0]
    ));
    let mut other = site.session().await;
    for is_committed in [false, true] {
        other.execute("SELECT pg_advisory_lock(7)").await.unwrap();
        let first = accept(&store, 1);
        site.until_sessions(1, "wait_event = 'advisory'");
        let second = accept(&store, 2);
        site.until_sessions(2, "wait_event_type = 'Lock'");
        assert_eq!(store.open_erasures(ErasureNumber::new(0)).await, Ok(vec![]));
        if !is_committed {
            site.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE wait_event = 'advisory' AND datname = current_database()",
            );
        }
        other.execute("SELECT pg_advisory_unlock(7)").await.unwrap();
        let first = first.await.unwrap();
        let second = second.await.unwrap();
        if is_committed {
            assert_eq!(first, Ok(ErasureNumber::new(1)));
            assert_eq!(second, Ok(ErasureNumber::new(2)));
        } else {
            assert!(
                matches!(first, Err(StoreError::Unavailable(_))),
                "{first:?}"
            );
            assert_eq!(second, Ok(ErasureNumber::new(1)));
        }
        site.sql("DELETE FROM request; UPDATE head SET last_request = 0");
    }
    store.close().await;
}
