//! The timeout of each request of a connection. It is cheap: the timer is armed once and moved only when
//! it has run out, not with every request.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};

type Timer = Pin<Box<Sleep>>;

/// The request took longer than its timeout.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TimedOut;

/// The timer of a connection. One request at a time uses it. Other requests at the same time (HTTP/2) get
/// timers of their own.
#[derive(Debug, Default)]
pub(super) struct TimeLimit(Mutex<Option<Timer>>);

/// The timer while one request uses it.
struct Borrowed<'a> {
    home: &'a TimeLimit,
    timer: Option<Timer>,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            *self.home.0.lock() = Some(timer);
        }
    }
}

impl Borrowed<'_> {
    /// Ready at `deadline`. The timer may still be set to the deadline of an earlier request. It then wakes
    /// too early and is reset.
    fn poll(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        while timer.as_mut().poll(context).is_ready() {
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl TimeLimit {
    /// Runs `work`, and drops it when it takes longer than `limit`. The limit is the same for all requests of
    /// a connection.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, TimedOut> {
        let deadline = Instant::now() + limit;
        let mut borrowed = Borrowed {
            home: self,
            timer: self.0.lock().take(),
        };
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => borrowed.poll(context, deadline).map(|()| Err(TimedOut)),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(300);

    #[tokio::test]
    async fn each_request_has_the_whole_limit() {
        let time_limit = TimeLimit::default();
        for _ in 0..3 {
            let work = pin!(tokio::time::sleep(LIMIT / 2));
            assert_eq!(time_limit.within(LIMIT, work).await, Ok(()));
        }
        let begun = Instant::now();
        let forever = pin!(pending::<()>());
        assert_eq!(time_limit.within(LIMIT, forever).await, Err(TimedOut));
        assert!(begun.elapsed() >= LIMIT);
    }

    #[tokio::test]
    async fn requests_beside_each_other_have_their_own() {
        let time_limit = TimeLimit::default();
        let (long, short) = (pin!(pending::<()>()), pin!(tokio::time::sleep(LIMIT / 10)));
        let (first, second) = tokio::join!(
            time_limit.within(LIMIT, long),
            time_limit.within(LIMIT, short)
        );
        assert_eq!((first, second), (Err(TimedOut), Ok(())));
    }
}
