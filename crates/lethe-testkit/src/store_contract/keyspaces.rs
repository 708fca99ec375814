//! Keyspaces and their versions.

use lethe_core::identity::KeyspaceId;
use lethe_core::keyspace::KeyVersion;
use lethe_core::ports::{
    BatchStore, KeyspaceChange, KeyspaceRow, KeyspaceStore, StoreError, VersionRow,
};
use lethe_core::time::Timestamp;

use super::{Fixture, batch, create, keyspace, policy};

/// Versions and keyspaces come and go.
pub async fn versions_and_keyspaces_come_and_go(fixture: impl Fixture) {
    let store = fixture.store();
    let mut chat = keyspace(1, "chat");
    assert_eq!(create(&*store, 1, &chat).await, Ok(()));
    let second = VersionRow {
        version: KeyVersion::new(2).expect("not zero"),
        created_at: Timestamp::from_millis(7),
    };
    let changes = vec![
        KeyspaceChange::AddVersion(chat.id, second.clone()),
        KeyspaceChange::DropVersion(chat.id, KeyVersion::FIRST),
    ];
    assert_eq!(store.commit_batch(&batch(2, changes)).await, Ok(()));
    chat.versions = vec![second];
    assert_eq!(store.keyspaces().await, Ok(vec![chat.clone()]));
    let changes = vec![KeyspaceChange::DropKeyspace(chat.id)];
    assert_eq!(store.commit_batch(&batch(3, changes)).await, Ok(()));
    assert_eq!(store.keyspaces().await, Ok(vec![]));
}

/// Keyspaces come back whole, by name.
pub async fn keyspaces_come_back_by_name(fixture: impl Fixture) {
    let store = fixture.store();
    let mut two = keyspace(1, "b");
    let version = KeyVersion::new(2).expect("not zero");
    two.versions.push(VersionRow {
        version,
        created_at: Timestamp::from_millis(9_000),
    });
    let (first, last) = (keyspace(9, "a"), keyspace(0, "c-1"));
    for (sequence, row) in [(1, &last), (2, &two), (3, &first)] {
        assert_eq!(create(&*store, sequence, row).await, Ok(()));
    }
    assert_eq!(store.keyspaces().await, Ok(vec![first, two, last]));
}

/// A name or id that is taken is refused and changes nothing.
pub async fn keyspace_names_are_unique(fixture: impl Fixture) {
    let store = fixture.store();
    assert_eq!(create(&*store, 1, &keyspace(1, "chat")).await, Ok(()));
    for duplicate in [keyspace(2, "chat"), keyspace(1, "other")] {
        assert!(matches!(
            create(&*store, 2, &duplicate).await,
            Err(StoreError::Conflict(_))
        ));
    }
    assert_eq!(store.keyspaces().await, Ok(vec![keyspace(1, "chat")]));
}

/// Settings and times are replaced, of a keyspace and versions that are there.
pub async fn keyspaces_are_replaced(fixture: impl Fixture) {
    let store = fixture.store();
    let row = keyspace(1, "chat");
    assert_eq!(create(&*store, 1, &row).await, Ok(()));
    let version = |number, created_at| VersionRow {
        version: KeyVersion::new(number).expect("not zero"),
        created_at: Timestamp::from_millis(created_at),
    };
    let changed = |hours, versions| KeyspaceRow {
        policy: policy(hours),
        leases_until: Timestamp::from_millis(hours),
        expiries_until: Timestamp::from_millis(hours * 2),
        minimum_version: KeyVersion::new(3).expect("not zero"),
        versions,
        ..row.clone()
    };
    let whole = changed(6, vec![version(1, 77)]);
    let strange = KeyspaceRow {
        id: KeyspaceId::from_bytes([7; 16]),
        ..whole.clone()
    };
    for refused in [strange, changed(5, vec![version(1, 7), version(2, 8)])] {
        let change = vec![KeyspaceChange::Replace(refused)];
        let done = store.commit_batch(&batch(2, change)).await;
        assert!(matches!(done, Err(StoreError::Conflict(_))));
        assert_eq!(store.keyspaces().await, Ok(vec![row.clone()]));
    }
    let change = vec![KeyspaceChange::Replace(whole.clone())];
    assert_eq!(store.commit_batch(&batch(2, change)).await, Ok(()));
    assert_eq!(store.keyspaces().await, Ok(vec![whole]));
}
