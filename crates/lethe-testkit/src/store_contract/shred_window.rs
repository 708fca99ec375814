//! The windows of shreds that need no approval.

use std::sync::Arc;
use std::time::Duration;

use lethe_core::approval::{Asker, Pool, ShredCount, ShredLimits, ShredWindow};
use lethe_core::erasure::{Erasure, ErasureNumber};
use lethe_core::identity::KeyspaceId;
use lethe_core::ports::{ApprovalStore, ErasureStore, StoreError};
use lethe_core::time::Timestamp;

use super::Fixture;
use super::erasures::shred;

const NOW: Timestamp = at(1_000_000);
const NONE: ErasureNumber = ErasureNumber::new(0);
const SERVERS: ShredWindow = ShredWindow::Pool(Pool::MessageServers);

/// Windows of 100 s, in parts of a second.
const LIMITS: ShredLimits = ShredLimits {
    span: Duration::from_secs(100),
    pool: 10,
    client: 10,
    keyspace: 10,
    floor: 2,
};

const fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Shreds of a message server.
fn count(client: &str, keyspace: u8, conversations: u64) -> ShredCount {
    let asker = Asker {
        pool: Pool::MessageServers,
        client: client.into(),
        keyspace: KeyspaceId::from_bytes([keyspace; 16]),
    };
    ShredCount {
        asker,
        conversations,
    }
}

fn of_operators(count: ShredCount) -> ShredCount {
    let asker = Asker {
        pool: Pool::Operators,
        ..count.asker
    };
    ShredCount { asker, ..count }
}

/// Accepts erasures with counts, within [`LIMITS`].
async fn accept(
    store: &impl ApprovalStore,
    erasures: &[Erasure],
    counts: &[ShredCount],
    now: Timestamp,
) -> Result<Option<ErasureNumber>, StoreError> {
    store.accept_counted(erasures, counts, &LIMITS, now).await
}

/// Whether the windows had room for one count.
async fn fits(
    store: &impl ApprovalStore,
    limits: &ShredLimits,
    count: ShredCount,
    now: Timestamp,
) -> bool {
    let accepted = store.accept_counted(&[], &[count], limits, now).await;
    accepted.expect("accepted or not").is_some()
}

async fn erasures(store: &impl ErasureStore) -> Vec<Erasure> {
    let accepted = store.open_erasures(NONE).await.expect("rows");
    accepted.into_iter().map(|it| it.erasure).collect()
}

/// Shreds are counted with the erasures, in the windows of their pool, client and keyspace.
pub async fn shreds_are_counted(mut fixture: impl Fixture) {
    let store = fixture.store();
    let counts = [
        count("a", 1, 2),
        count("b", 1, 3),
        of_operators(count("a", 1, 4)),
    ];
    let both = [shred(1), shred(2)];
    let accepted = accept(&*store, &both, &counts, NOW).await;
    assert_eq!(accepted, Ok(Some(ErasureNumber::new(1))));
    let more = [count("a", 2, 1)];
    let later = at(NOW.as_millis() + 5_000);
    let accepted = accept(&*store, &[shred(3)], &more, later).await;
    assert_eq!(accepted, Ok(Some(ErasureNumber::new(3))));
    // The id is taken: nothing is accepted, and nothing counted.
    let refused = accept(&*store, &[shred(3)], &more, later).await;
    assert!(refused.is_err());
    drop(store);
    fixture.reopen().await;
    let store = fixture.store();
    let servers = Pool::MessageServers;
    let windows = [
        SERVERS,
        ShredWindow::Pool(Pool::Operators),
        ShredWindow::Client(servers, "a".into()),
        ShredWindow::Client(servers, "b".into()),
        ShredWindow::Client(servers, "c".into()),
        ShredWindow::Keyspace(servers, KeyspaceId::from_bytes([1; 16])),
        ShredWindow::Keyspace(servers, KeyspaceId::from_bytes([2; 16])),
    ];
    let sums = async |after| store.shred_sums(&windows, after).await;
    assert_eq!(sums(at(0)).await, Ok(vec![6, 4, 3, 3, 0, 5, 1]));
    let first_ends = at(NOW.as_millis() + 1_000);
    let second = Ok(vec![1, 0, 1, 0, 0, 0, 1]);
    assert_eq!(sums(first_ends).await, second);
    assert_eq!(store.forget_shred_counts(first_ends).await, Ok(()));
    assert_eq!(sums(at(0)).await, second);
}

/// What does not fit is not accepted, and counts nothing: all counts or none.
pub async fn a_full_window_accepts_nothing(fixture: impl Fixture) {
    let store = fixture.store();
    let first = [count("a", 1, 4), count("a", 1, 5)];
    let accepted = accept(&*store, &[shred(1)], &first, NOW).await;
    assert_eq!(accepted, Ok(Some(ErasureNumber::new(1))));
    let too_many = [count("a", 1, 1), count("a", 1, 1)];
    let refused = accept(&*store, &[shred(2)], &too_many, NOW).await;
    assert_eq!(refused, Ok(None));
    assert_eq!(store.shred_sums(&[SERVERS], at(0)).await, Ok(vec![9]));
    let accepted = accept(&*store, &[shred(3)], &too_many[1..], NOW).await;
    assert_eq!(accepted, Ok(Some(ErasureNumber::new(2))));
    assert_eq!(erasures(&*store).await, [shred(1), shred(3)]);
    // What is not counted is accepted as ever.
    let accepted = accept(&*store, &[shred(4)], &[], NOW).await;
    assert_eq!(accepted, Ok(Some(ErasureNumber::new(3))));
}

/// Each client has its floor, which nobody else can take. Pools, clients and keyspaces have limits of their own.
pub async fn windows_have_limits_of_their_own(fixture: impl Fixture) {
    let store = fixture.store();
    let limits = ShredLimits {
        keyspace: 6,
        ..LIMITS
    };
    let fits = async |count| fits(&*store, &limits, count, NOW).await;
    assert!(fits(count("a", 1, 6)).await);
    assert!(!fits(count("a", 1, 1)).await, "the keyspace is full");
    assert!(fits(count("a", 2, 4)).await);
    assert!(!fits(count("b", 3, 3)).await, "the pool is full");
    assert!(fits(count("b", 1, 2)).await, "its floor");
    assert!(!fits(count("b", 1, 1)).await);
    assert!(fits(of_operators(count("a", 1, 6))).await);
    assert!(!fits(of_operators(count("a", 1, 1))).await);
}

/// A part counts until its end has left the window.
pub async fn windows_slide(fixture: impl Fixture) {
    let store = fixture.store();
    let start = NOW.as_millis();
    let fits =
        async |many, after| fits(&*store, &LIMITS, count("a", 1, many), at(start + after)).await;
    assert!(fits(6, 0).await);
    assert!(fits(4, 50_000).await);
    assert!(!fits(1, 100_999).await);
    assert!(fits(6, 101_000).await, "the first part has left");
    assert!(!fits(1, 150_999).await);
    assert!(fits(4, 151_000).await);
    assert!(
        !fits(11, 900_000).await,
        "never more than the limit at once"
    );
}

/// Sixteen processes that shred at once cannot pass a limit together.
pub async fn together_nobody_passes_a_limit(fixture: impl Fixture) {
    let store = fixture.store();
    let limits = ShredLimits { floor: 0, ..LIMITS };
    let racers: Vec<_> = (0..16_u8)
        .map(|racer| tokio::spawn(shred_four(fixture.store(), limits, racer)))
        .collect();
    let mut accepted = 0;
    for racer in racers {
        accepted += racer.await.expect("no panic");
    }
    assert_eq!(accepted, limits.pool);
    assert_eq!(erasures(&*store).await.len() as u64, limits.pool);
    let sum = store.shred_sums(&[SERVERS], at(0)).await;
    assert_eq!(sum, Ok(vec![limits.pool]));
}

/// How many of four shreds were accepted.
async fn shred_four(store: Arc<impl ApprovalStore>, limits: ShredLimits, racer: u8) -> u64 {
    let mut accepted = 0;
    for number in 0..4 {
        let one = [shred(4 * racer + number)];
        let counts = [count(&racer.to_string(), racer, 1)];
        let done = store.accept_counted(&one, &counts, &limits, NOW).await;
        accepted += u64::from(done.expect("accepted or not").is_some());
    }
    accepted
}
