//! What every adapter of the port `Store` must do: one function per clause, and
//! [`store_contract!`](crate::store_contract!) that makes a test of each.

mod approvals;
mod authentic;
mod clock;
mod erasures;
mod hsm_moves;
mod key_uses;
mod keyspaces;
mod shred_window;
mod trees;

use std::sync::Arc;

use lethe_core::clock::Mark;
use lethe_core::duration::Span;
use lethe_core::identity::{ClaimNonce, DeploymentId, HsmKeyId, KeyspaceId, StoreId};
use lethe_core::keyspace::{KeyVersion, Policy};
use lethe_core::ports::{
    ApprovalStore, BatchCommit, BatchStore, BucketRow, BucketStore, ClockStore, DeploymentStore,
    ExpiryRow, KeyUseStore, KeyspaceChange, KeyspaceRow, KeyspaceStore, MetaRow, RootShare,
    SealedSecret, Seat, Store, StoreError, VersionRow,
};
use lethe_core::time::{Expiry, Timestamp};

pub use approvals::*;
pub use authentic::*;
pub use clock::*;
pub use erasures::*;
pub use hsm_moves::*;
pub use key_uses::*;
pub use keyspaces::*;
pub use shred_window::*;
pub use trees::*;

/// A store under test that can be closed and opened again.
#[allow(
    async_fn_in_trait,
    reason = "only for tests, which await it where they are"
)]
pub trait Fixture: Sized {
    /// The adapter.
    type Store: Store + ApprovalStore + KeyUseStore + 'static;
    /// An empty store.
    async fn new() -> Self;
    /// The store, open.
    fn store(&self) -> Arc<Self::Store>;
    /// Closes it and opens it again.
    async fn reopen(&mut self);
    /// Runs SQL beside the store, as somebody who can write to its database: how many rows the last statement
    /// changed, or why it was refused.
    async fn alter(&self, statements: &str) -> Result<u64, String>;
    /// Every table with a column `mac`, and its columns, each with an expression for another value.
    async fn authenticated(&self) -> Vec<(String, Vec<(String, String)>)>;
}

/// A policy of this many hours, by the hour.
#[must_use]
pub fn policy(hours: u64) -> Policy {
    let hour = Span::from_seconds(3_600);
    Policy::new(
        Span::from_seconds(hours * 3_600),
        hour,
        Span::from_seconds(86_400),
        Span::from_millis(500),
    )
    .and_then(|policy| policy.with_shorter_retentions(&[hour, Span::from_seconds(5_401)]))
    .expect("a valid policy")
}

/// A keyspace of one version.
#[must_use]
pub fn keyspace(id: u8, name: &str) -> KeyspaceRow {
    let first = VersionRow {
        version: KeyVersion::FIRST,
        created_at: Timestamp::from_millis(1_500),
    };
    let name = name.parse().expect("a valid name");
    KeyspaceRow {
        id: KeyspaceId::from_bytes([id; 16]),
        name,
        policy: policy(72),
        leases_until: Timestamp::from_millis(0),
        expiries_until: Timestamp::from_millis(0),
        minimum_version: KeyVersion::FIRST,
        versions: vec![first],
    }
}

/// A bucket whose bytes follow from its expiry.
#[must_use]
pub fn bucket(expiry: u64) -> BucketRow {
    let byte = expiry.to_le_bytes()[0];
    let sealed = SealedSecret {
        iv: [byte; 12],
        ciphertext: [byte; 48],
    };
    BucketRow {
        expiry: Expiry::from_seconds(expiry),
        key: HsmKeyId::from_bytes([byte; 16]),
        sealed,
    }
}

/// The id is set once; the same again is fine, another is refused.
pub async fn deployment_is_set_once(fixture: impl Fixture) {
    let store = fixture.store();
    let (ours, other) = (
        DeploymentId::from_bytes([1; 16]),
        DeploymentId::from_bytes([2; 16]),
    );
    assert_eq!(store.deployment().await, Ok(None));
    assert_eq!(store.set_deployment(ours).await, Ok(()));
    assert_eq!(store.set_deployment(ours).await, Ok(()));
    assert!(matches!(
        store.set_deployment(other).await,
        Err(StoreError::Conflict(_))
    ));
    assert_eq!(store.deployment().await, Ok(Some(ours)));
}

/// A batch of this sequence, with changes.
#[must_use]
pub fn batch(sequence: u64, keyspaces: Vec<KeyspaceChange>) -> BatchCommit {
    let byte = sequence.to_le_bytes()[0];
    let sealed = SealedSecret {
        iv: [byte; 12],
        ciphertext: [byte; 48],
    };
    let root = HsmKeyId::from_bytes([byte; 16]);
    let meta = MetaRow {
        sequence,
        epoch: sequence + 1,
        share: RootShare { root, sealed },
        directory: vec![byte; 300],
    };
    BatchCommit {
        meta,
        keyspaces,
        trees: Vec::new(),
        fulfilled: None,
        mark: Mark::default(),
        begins: None,
        approved: None,
    }
}

async fn create(store: &impl Store, sequence: u64, row: &KeyspaceRow) -> Result<(), StoreError> {
    let change = KeyspaceChange::Create(row.clone());
    store.commit_batch(&batch(sequence, vec![change])).await
}

/// The meta row goes forward one by one and comes back whole.
pub async fn meta_goes_forward_one_by_one(fixture: impl Fixture) {
    let store = fixture.store();
    assert_eq!(store.meta().await, Ok(None));
    let refused = |done| matches!(done, Err(StoreError::Conflict(_)));
    assert!(refused(store.commit_batch(&batch(2, vec![])).await));
    assert_eq!(store.commit_batch(&batch(1, vec![])).await, Ok(()));
    assert!(refused(store.commit_batch(&batch(1, vec![])).await));
    assert!(refused(store.commit_batch(&batch(3, vec![])).await));
    assert_eq!(store.meta().await, Ok(Some(batch(1, vec![]).meta)));
    assert_eq!(store.commit_batch(&batch(2, vec![])).await, Ok(()));
    assert_eq!(store.meta().await, Ok(Some(batch(2, vec![]).meta)));
}

/// A batch of which one change is refused changes nothing.
pub async fn batches_are_all_or_nothing(fixture: impl Fixture) {
    let store = fixture.store();
    let (chat, other) = (keyspace(1, "chat"), keyspace(2, "other"));
    assert_eq!(create(&*store, 1, &chat).await, Ok(()));
    let second = KeyVersion::new(2).expect("not zero");
    for refused in [
        KeyspaceChange::Create(keyspace(9, "chat")),
        KeyspaceChange::DropVersion(chat.id, second),
        KeyspaceChange::DropKeyspace(KeyspaceId::from_bytes([7; 16])),
    ] {
        let changes = vec![KeyspaceChange::Create(other.clone()), refused];
        let done = store.commit_batch(&batch(2, changes)).await;
        assert!(matches!(done, Err(StoreError::Conflict(_))));
        assert_eq!(store.meta().await, Ok(Some(batch(1, vec![]).meta)));
        assert_eq!(store.keyspaces().await, Ok(vec![chat.clone()]));
    }
}

/// Buckets are added all or none, and listed soonest first.
pub async fn buckets_are_all_or_none(fixture: impl Fixture) {
    let store = fixture.store();
    assert_eq!(
        store.create_buckets(&[bucket(30), bucket(10)]).await,
        Ok(())
    );
    let refused = store
        .create_buckets(&[bucket(20), bucket(30), bucket(40)])
        .await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))));
    assert_eq!(store.buckets().await, Ok(vec![bucket(10), bucket(30)]));
    assert_eq!(store.create_buckets(&[]).await, Ok(()));
}

/// A bucket goes only when its key id agrees; the signed word is kept once.
pub async fn buckets_go_by_expiry_and_key(fixture: impl Fixture) {
    let store = fixture.store();
    let both = [bucket(10), bucket(20)];
    assert_eq!(store.create_buckets(&both).await, Ok(()));
    let signed = |bucket: &BucketRow, key: HsmKeyId, at| ExpiryRow {
        expiry: bucket.expiry,
        signed: destruction(at, vec![key]),
    };
    let [first, second] = &both;
    let orphan = signed(first, second.key, 30);
    assert_eq!(store.finish_bucket(&orphan).await, Ok(()));
    assert_eq!(store.buckets().await.map(|rows| rows.len()), Ok(2));
    let own = signed(first, first.key, 31);
    assert_eq!(store.finish_bucket(&own).await, Ok(()));
    assert_eq!(store.buckets().await, Ok(vec![second.clone()]));
    let again = signed(first, first.key, 99);
    assert_eq!(store.finish_bucket(&again).await, Ok(()));
    let mut kept = store.expiries(Expiry::from_seconds(9), 5).await;
    if let Ok(kept) = &mut kept {
        kept.sort_by_key(|row| row.signed.destroyed_at);
    }
    assert_eq!(kept, Ok(vec![orphan, own]));
    assert_eq!(store.expiries(first.expiry, 5).await, Ok(vec![]));
}

/// Everything is there after a restart, and the store is where it was.
pub async fn everything_survives_reopening(mut fixture: impl Fixture) {
    let store = fixture.store();
    let (id, time) = (DeploymentId::from_bytes([1; 16]), mark(7, 0, Some(3)));
    let (location, seat) = (store.location().clone(), seat(None));
    assert_eq!(store.seat().await, Ok(None));
    assert_eq!(store.set_seat(&self::seat(Some(3))).await, Ok(()));
    assert_eq!(store.seat().await, Ok(Some(self::seat(Some(3)))));
    assert_eq!(store.set_seat(&seat).await, Ok(()));
    assert_eq!(store.set_deployment(id).await, Ok(()));
    assert_eq!(create(&*store, 1, &keyspace(1, "chat")).await, Ok(()));
    assert_eq!(store.create_buckets(&[bucket(10)]).await, Ok(()));
    assert_eq!(store.raise_clock_mark(&time).await, Ok(()));
    drop(store);
    fixture.reopen().await;
    let store = fixture.store();
    assert_eq!(store.deployment().await, Ok(Some(id)));
    assert_eq!(store.keyspaces().await, Ok(vec![keyspace(1, "chat")]));
    assert_eq!(store.buckets().await, Ok(vec![bucket(10)]));
    assert_eq!(store.clock_mark().await, Ok(time));
    assert_eq!(store.location(), &location);
    assert_eq!(store.seat().await, Ok(Some(seat)));
}

fn seat(next: Option<u8>) -> Seat {
    Seat {
        store: StoreId::from_bytes([1; 16]),
        nonce: ClaimNonce::from_bytes([2; 16]),
        next: next.map(|byte| ClaimNonce::from_bytes([byte; 16])),
    }
}

/// Sixteen writers at once lose nothing.
pub async fn concurrent_writers_lose_nothing(fixture: impl Fixture) {
    let store = fixture.store();
    let writers: Vec<_> = (0..16_u64)
        .map(|writer| tokio::spawn(write_ten(fixture.store(), writer * 10)))
        .collect();
    for writer in writers {
        writer.await.expect("no panic");
    }
    let expected: Vec<BucketRow> = (0..160).map(bucket).collect();
    assert_eq!(store.buckets().await, Ok(expected));
}

async fn write_ten(store: Arc<impl Store>, first: u64) {
    for expiry in first..first + 10 {
        assert_eq!(store.create_buckets(&[bucket(expiry)]).await, Ok(()));
    }
}

/// Makes a `#[tokio::test]` of each clause for a [`Fixture`].
#[macro_export]
macro_rules! store_contract {
    ($fixture:ty) => {
        $crate::store_contract!(@each $fixture:
            deployment_is_set_once, meta_goes_forward_one_by_one, batches_are_all_or_nothing,
            versions_and_keyspaces_come_and_go, keyspaces_come_back_by_name, keyspace_names_are_unique,
            keyspaces_are_replaced, buckets_are_all_or_none, buckets_go_by_expiry_and_key,
            tree_rows_come_back, tree_rows_are_of_their_tree, dropped_trees_are_swept,
            requests_are_numbered_in_order, accepted_all_or_none, batches_fulfil_requests,
            receipts_are_forgotten_by_whole_batches, erased_names_are_remembered,
            approvals_come_back_whole, approvals_change_once, an_approval_and_what_it_does_are_one, old_approvals_are_forgotten,
            a_client_has_its_share_of_approvals,
            shreds_are_counted, a_full_window_accepts_nothing, windows_have_limits_of_their_own, windows_slide,
            together_nobody_passes_a_limit,
            buckets_are_replaced_by_key, moves_keep_the_succession,
            uses_sum_up_by_client,
            every_column_counts, every_column_of_an_early_row_counts, an_altered_row_gets_no_new_mac,
            clock_never_sinks, clock_is_confirmed, everything_survives_reopening, concurrent_writers_lose_nothing,
        );
    };
    (@each $fixture:ty: $($clause:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $clause() {
                let fixture = <$fixture as $crate::store_contract::Fixture>::new().await;
                $crate::store_contract::$clause(fixture).await;
            }
        )*
    };
}
