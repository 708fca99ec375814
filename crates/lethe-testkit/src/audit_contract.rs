//! What every adapter of the port `AuditSink` must do: one function per clause, and
//! [`audit_contract!`](crate::audit_contract!) that makes a test of each.

use std::sync::Arc;
use std::time::Duration;

use lethe_core::audit::{Event, Record};
use lethe_core::ports::AuditSink;
use lethe_core::time::Timestamp;

/// A log under test that can be closed, opened again, broken and repaired.
#[allow(
    async_fn_in_trait,
    reason = "only for tests, which await it where they are"
)]
pub trait Fixture: Sized {
    /// The adapter.
    type Sink: AuditSink + 'static;
    /// An empty log.
    async fn new() -> Self;
    /// The log, open.
    fn sink(&self) -> Arc<Self::Sink>;
    /// Closes it and opens it again.
    async fn reopen(&mut self);
    /// From now on no record can become durable.
    fn break_down(&self);
    /// Undoes [`Self::break_down`].
    fn repair(&self);
    /// All lines of the log in order, as another program reads them; without empty lines.
    fn lines(&self) -> Vec<String>;
}

/// A record that names this request.
#[must_use]
pub fn record(request: &str) -> Record {
    Record::new(&Event {
        time: Timestamp::from_millis(1),
        request,
        client: "spiffe://lethe.example/message-server",
        operation: "issue",
        keyspace: None,
        outcome: "ok",
        keys: &[],
        refused: 0,
        requests: &[],
        reason: None,
    })
}

/// The line of [`record`].
#[must_use]
pub fn line(request: &str) -> String {
    String::from_utf8_lossy(record(request).as_bytes()).into_owned()
}

/// An answered record can be read by others, byte for byte, while the log is open.
pub async fn answered_records_are_readable(fixture: impl Fixture) {
    let sink = fixture.sink();
    for request in ["first", "with \"quotes\"\nand line end"] {
        assert_eq!(sink.append(record(request)).await, Ok(()));
        assert_eq!(fixture.lines().last(), Some(&line(request)));
    }
    assert_eq!(fixture.lines().len(), 2);
}

/// Of many callers at once each finds its records in its own order, once.
pub async fn concurrent_callers_lose_and_mix_nothing(fixture: impl Fixture) {
    let request = |caller: usize, number: usize| format!("{caller}-{number}");
    let callers: Vec<_> = (0..16)
        .map(|caller| {
            let sink = fixture.sink();
            tokio::spawn(async move {
                for number in 0..20 {
                    let appended = sink.append(record(&request(caller, number))).await;
                    assert_eq!(appended, Ok(()));
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("no panic");
    }
    let lines = fixture.lines();
    assert_eq!(lines.len(), 16 * 20);
    for caller in 0..16 {
        let own = lines
            .iter()
            .filter(|line| line.contains(&format!("\"{caller}-")));
        let expected: Vec<_> = (0..20)
            .map(|number| line(&request(caller, number)))
            .collect();
        assert!(own.eq(expected.iter()), "caller {caller}");
    }
}

/// A batch of a thousand items makes one line of 100 KB and more.
pub async fn large_records_are_written_whole(fixture: impl Fixture) {
    let sink = fixture.sink();
    let large = "x".repeat(300_000);
    for request in ["before", &large, "after"] {
        assert_eq!(sink.append(record(request)).await, Ok(()));
    }
    assert_eq!(
        fixture.lines(),
        [line("before"), line(&large), line("after")]
    );
}

/// After reopening the log goes on behind what is there.
pub async fn reopening_keeps_every_line(mut fixture: impl Fixture) {
    for round in 0..4 {
        let appended = fixture.sink().append(record(&round.to_string())).await;
        assert_eq!(appended, Ok(()));
        fixture.reopen().await;
    }
    let expected: Vec<_> = (0..4).map(|round| line(&round.to_string())).collect();
    assert_eq!(fixture.lines(), expected);
}

/// A broken log answers errors, never success; `check` says so; repaired, it goes on by itself.
pub async fn failures_are_answered_and_recovered_from(fixture: impl Fixture) {
    let sink = fixture.sink();
    assert_eq!(sink.append(record("before")).await, Ok(()));
    assert_eq!(sink.check(), Ok(()));
    fixture.break_down();
    let lost: Vec<_> = (0..8)
        .map(|_| {
            let sink = fixture.sink();
            tokio::spawn(async move { sink.append(record("lost")).await })
        })
        .collect();
    for append in lost {
        assert!(append.await.expect("no panic").is_err());
    }
    assert!(sink.append(record("lost")).await.is_err());
    assert!(sink.check().is_err());
    fixture.repair();
    while sink.check().is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(sink.append(record("after")).await, Ok(()));
    assert_eq!(fixture.lines().last(), Some(&line("after")));
}

/// A call that is dropped half-way neither blocks the others nor breaks the log.
pub async fn dropped_calls_strand_nobody(fixture: impl Fixture) {
    for _ in 0..20 {
        let callers: Vec<_> = (0..16)
            .map(|caller| {
                let sink = fixture.sink();
                tokio::spawn(async move { sink.append(record(&caller.to_string())).await })
            })
            .collect();
        tokio::task::yield_now().await;
        for (caller, task) in callers.into_iter().enumerate() {
            if caller % 3 == 0 {
                task.abort();
            } else {
                assert_eq!(task.await.expect("no panic"), Ok(()));
            }
        }
    }
    assert_eq!(fixture.sink().append(record("last")).await, Ok(()));
    assert_eq!(fixture.lines().last(), Some(&line("last")));
}

/// Makes a `#[tokio::test]` of each clause for a [`Fixture`].
#[macro_export]
macro_rules! audit_contract {
    ($fixture:ty) => {
        $crate::audit_contract!(@each $fixture:
            answered_records_are_readable, concurrent_callers_lose_and_mix_nothing,
            large_records_are_written_whole, reopening_keeps_every_line,
            failures_are_answered_and_recovered_from, dropped_calls_strand_nobody,
        );
    };
    (@each $fixture:ty: $($clause:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $clause() {
                let fixture = <$fixture as $crate::audit_contract::Fixture>::new().await;
                $crate::audit_contract::$clause(fixture).await;
            }
        )*
    };
}
