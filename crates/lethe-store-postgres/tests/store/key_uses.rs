//! Uses are added while their keyspace or version goes.

use std::sync::Arc;

use lethe_core::identity::KeyspaceId;
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::{BatchStore, KeyUse, KeyUseStore, KeyspaceChange, Uses};
use lethe_testkit::postgres::Server;
use lethe_testkit::store_contract::{batch, keyspace};
use sqlx::Executor;

use crate::site::Site;

/// Each of these is the first step of a drop, which waits there, and the rest.
const DROPS: [(&str, &str); 2] = [
    ("DELETE FROM key_version", "SELECT 1"),
    // As the first row lock of its DELETE. The rest locks the versions.
    ("SELECT FROM keyspace FOR UPDATE", "DELETE FROM keyspace"),
];

#[tokio::test(flavor = "multi_thread")]
async fn uses_of_what_is_dropped_meanwhile_are_left_out() {
    for (first, rest) in DROPS {
        let site = Site::new(Server::shared());
        let store = Arc::new(site.create().await);
        let chat = KeyspaceChange::Create(keyspace(1, "chat"));
        assert_eq!(store.commit_batch(&batch(1, vec![chat])).await, Ok(()));
        let mut other = site.session().await;
        other.execute("BEGIN").await.unwrap();
        other.execute(first).await.unwrap();
        let adding = Arc::clone(&store);
        let adding = tokio::spawn(async move {
            let uses = Uses {
                issued: 1,
                ..Uses::default()
            };
            let one = KeyUse {
                keyspace: KeyspaceId::from_bytes([1; 16]),
                version: KeyVersion::FIRST,
                client: "a".into(),
                uses,
            };
            adding.add_key_uses(&[one]).await
        });
        site.until_sessions(1, "wait_event_type = 'Lock'");
        other.execute(rest).await.unwrap();
        other.execute("COMMIT").await.unwrap();
        assert_eq!(adding.await.unwrap(), Ok(()), "{first}");
        assert_eq!(store.key_uses().await, Ok(vec![]));
        store.close().await;
    }
}
