//! One commit: many lines, one disk write, one answer for all who wait.
//!
//! Waking a task from outside its runtime is expensive, from inside it is cheap. So the writer wakes
//! one waiter, and that one wakes the others when it is polled (ADR 0002). A future that may break this
//! chain, because it is cancelled or moved, makes the writer wake all.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use lethe_core::ports::AuditError;
use parking_lot::Mutex;

/// What the callers of one write wait for.
#[derive(Default)]
pub(crate) struct Commit {
    result: OnceLock<Result<(), AuditError>>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    wakers: Vec<Waker>,
    /// Whether the list may have wakers of calls that nobody waits for any more.
    stale: bool,
}

impl Commit {
    /// Sets the result once: a second one changes nothing. True if others wait to be woken by the
    /// first: then [`Self::wake_rest`] must follow soon, because the first may never be polled.
    pub(crate) fn finish(&self, result: Result<(), AuditError>) -> bool {
        let mut waiting = self.waiting.lock();
        if self.result.set(result).is_err() {
            return false;
        }
        if waiting.stale {
            drop(waiting);
            self.wake_rest();
            return false;
        }
        let first = waiting.wakers.pop();
        let others = !waiting.wakers.is_empty();
        drop(waiting);
        first.into_iter().for_each(Waker::wake);
        others
    }

    /// Answers, and wakes all.
    pub(crate) fn finish_all(&self, result: Result<(), AuditError>) {
        if self.finish(result) {
            self.wake_rest();
        }
    }

    /// Wakes all who have not been woken.
    pub(crate) fn wake_rest(&self) {
        let rest = std::mem::take(&mut self.waiting.lock().wakers);
        rest.into_iter().for_each(Waker::wake);
    }
}

/// Resolves when the commit is on the disk, or failed.
pub(crate) struct Durable {
    commit: Arc<Commit>,
    registered: bool,
    answered: bool,
}

impl Durable {
    pub(crate) const fn new(commit: Arc<Commit>) -> Self {
        Self {
            commit,
            registered: false,
            answered: false,
        }
    }

    /// False when the commit was finished meanwhile.
    fn register(&mut self, waker: &Waker) -> bool {
        let mut waiting = self.commit.waiting.lock();
        if self.commit.result.get().is_some() {
            return false;
        }
        // It is polled again, perhaps by another task, so the older waker may not work.
        waiting.stale |= self.registered;
        waiting.wakers.push(waker.clone());
        self.registered = true;
        true
    }
}

impl Future for Durable {
    type Output = Result<(), AuditError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.commit.result.get().is_none() && self.register(context.waker()) {
            return Poll::Pending;
        }
        self.answered = true;
        if self.registered {
            self.commit.wake_rest();
        }
        let lost = || Err(AuditError("the commit has no result".into()));
        Poll::Ready(self.commit.result.get().cloned().unwrap_or_else(lost))
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        if self.answered || !self.registered {
            return;
        }
        let mut waiting = self.commit.waiting.lock();
        waiting.stale = true;
        let finished = self.commit.result.get().is_some();
        drop(waiting);
        if finished {
            self.commit.wake_rest();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Waiter(Durable, Arc<Count>);

    impl Waiter {
        fn new(commit: &Arc<Commit>) -> Self {
            Self(Durable::new(Arc::clone(commit)), Arc::default())
        }

        fn poll(&mut self) -> Poll<Result<(), AuditError>> {
            let waker = Waker::from(Arc::clone(&self.1));
            Pin::new(&mut self.0).poll(&mut Context::from_waker(&waker))
        }

        fn woken(&self) -> usize {
            self.1.0.load(Ordering::Relaxed)
        }
    }

    fn waiters(commit: &Arc<Commit>) -> [Waiter; 3] {
        let mut waiters = [(); 3].map(|()| Waiter::new(commit));
        assert!(waiters.iter_mut().all(|waiter| waiter.poll().is_pending()));
        waiters
    }

    #[test]
    fn the_first_one_woken_wakes_the_others() {
        let commit = Arc::default();
        let mut waiters = waiters(&commit);
        assert!(commit.finish(Ok(())), "others wait");
        assert_eq!(waiters.each_ref().map(Waiter::woken), [0, 0, 1]);
        assert_eq!(waiters[2].poll(), Poll::Ready(Ok(())));
        assert_eq!(waiters.each_ref().map(Waiter::woken), [1, 1, 1]);
        assert_eq!(waiters[0].poll(), Poll::Ready(Ok(())));
    }

    #[test]
    fn a_waiter_dropped_before_or_after_the_answer_strands_nobody() {
        let commit = Arc::default();
        let [first, second, third] = waiters(&commit);
        drop(third);
        assert!(!commit.finish(Ok(())));
        assert_eq!((first.woken(), second.woken()), (1, 1));

        let commit = Arc::default();
        let [first, second, third] = waiters(&commit);
        assert!(commit.finish(Ok(())));
        drop(third);
        assert_eq!((first.woken(), second.woken()), (1, 1));
    }

    #[test]
    fn a_waiter_polled_by_another_task_strands_nobody() {
        let commit = Arc::default();
        let mut waiters = waiters(&commit);
        waiters[2].1 = Arc::default();
        assert!(waiters[2].poll().is_pending());
        assert!(!commit.finish(Ok(())));
        assert_eq!(waiters.each_ref().map(Waiter::woken), [1, 1, 1]);
    }

    #[test]
    fn the_first_result_stands() {
        let commit = Arc::new(Commit::default());
        let failed = Err(AuditError("full".into()));
        commit.finish(failed.clone());
        commit.finish(Ok(()));
        assert_eq!(Waiter::new(&commit).poll(), Poll::Ready(failed));
    }
}
