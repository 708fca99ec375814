use lethe_core::identity::KeyspaceId;
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::{KeyUse, KeyUseStore, Uses};
use lethe_core::time::Timestamp;

use super::{Fixture, create, keyspace};

fn uses(issued: u64, last_issued: Option<u64>, unwrapped: u64, last: Option<u64>) -> Uses {
    Uses {
        issued,
        last_issued: last_issued.map(Timestamp::from_millis),
        unwrapped,
        last_unwrapped: last.map(Timestamp::from_millis),
    }
}

fn by(keyspace: u8, client: &str, uses: Uses) -> KeyUse {
    KeyUse {
        keyspace: KeyspaceId::from_bytes([keyspace; 16]),
        version: KeyVersion::FIRST,
        client: client.into(),
        uses,
    }
}

/// What is added sums up by client, the latest time stays, and what is gone is passed over.
pub async fn uses_sum_up_by_client(mut fixture: impl Fixture) {
    let store = fixture.store();
    let chat = keyspace(1, "chat");
    assert_eq!(create(&*store, 1, &chat).await, Ok(()));
    assert_eq!(store.key_uses().await, Ok(vec![]));
    let first = [
        by(1, "a", uses(2, Some(50), 0, None)),
        by(1, "b", uses(0, None, 1, Some(60))),
        by(7, "a", uses(1, Some(1), 1, Some(1))),
    ];
    assert_eq!(store.add_key_uses(&first).await, Ok(()));
    let more = [
        by(1, "a", uses(1, Some(40), 3, Some(70))),
        by(1, "b", uses(0, None, 1, Some(90))),
    ];
    assert_eq!(store.add_key_uses(&more).await, Ok(()));
    drop(store);
    fixture.reopen().await;
    let mut found = fixture.store().key_uses().await.expect("the rows");
    found.sort_by(|one, other| one.client.cmp(&other.client));
    let sums = [
        by(1, "a", uses(3, Some(50), 3, Some(70))),
        by(1, "b", uses(0, None, 2, Some(90))),
    ];
    assert_eq!(found, sums);
}
