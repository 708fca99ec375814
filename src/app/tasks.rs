use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tasks that end together, and are gone when their end is over.
#[derive(Default)]
pub(super) struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    panicked: CancellationToken,
}

/// Tells of a panic: what panics drops it.
pub(super) struct Alarm(CancellationToken);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}

impl Tasks {
    /// Runs until it ends, or until the tasks are stopped: then it is dropped where it waits, and the
    /// result is none.
    pub(super) fn spawn<F>(&self, task: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let stop = self.stop.clone();
        self.start(stop.run_until_cancelled_owned(task))
    }

    /// Runs to its own end, for which it is told of the stop.
    pub(super) fn spawn_to_its_end<F>(
        &self,
        task: impl FnOnce(CancellationToken) -> F,
    ) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.start(task(self.stop.clone()))
    }

    fn start<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let alarm = self.alarm();
        self.tracker.spawn(async move {
            let _alarm = alarm;
            task.await
        })
    }

    /// For a thread beside the tasks.
    pub(super) fn alarm(&self) -> Alarm {
        Alarm(self.panicked.clone())
    }

    /// Cancelled when one of them has panicked: most have nobody who waits for their end.
    pub(super) fn panicked(&self) -> CancellationToken {
        self.panicked.clone()
    }

    /// Stops all of them, and waits until they are gone, but no longer than `limit`: one may wait for a
    /// store that never answers again.
    pub(super) async fn stop(&self, limit: Duration) {
        self.stop.cancel();
        self.tracker.close();
        if timeout(limit, self.tracker.wait()).await.is_err() {
            tracing::warn!("background work did not end in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn none_of_them_is_there_after_the_stop() {
        let tasks = Tasks::default();
        let (kept, last_words) = (Arc::new(()), Arc::new(Notify::new()));
        let (dropped, waiting) = (Arc::clone(&kept), std::future::pending::<()>());
        let forever = tasks.spawn(async move {
            waiting.await;
            drop(dropped);
        });
        let (ending, said) = (Arc::clone(&kept), Arc::clone(&last_words));
        tasks.spawn_to_its_end(|stop| async move {
            stop.cancelled().await;
            said.notify_one();
            drop(ending);
        });
        tasks.stop(Duration::MAX).await;
        last_words.notified().await;
        assert_eq!(Arc::strong_count(&kept), 1);
        assert_eq!(forever.await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_panic_is_told_and_no_other_end() {
        let tasks = Tasks::default();
        tasks.spawn(async {}).await.unwrap();
        drop(tasks.spawn(std::future::pending::<()>()));
        tasks.spawn(std::future::pending::<()>()).abort();
        assert!(!tasks.panicked().is_cancelled());
        let ended = tasks.spawn(async { panic!("on purpose") }).await;
        assert!(ended.unwrap_err().is_panic());
        assert!(tasks.panicked().is_cancelled());

        let tasks = Tasks::default();
        let ended = tasks.spawn_to_its_end(|_| async { panic!("on purpose") });
        assert!(ended.await.unwrap_err().is_panic());
        assert!(tasks.panicked().is_cancelled());
        tasks.stop(Duration::MAX).await;
    }

    #[tokio::test]
    async fn one_that_does_not_end_holds_up_nobody() {
        let tasks = Tasks::default();
        tasks.spawn_to_its_end(|_| std::future::pending::<()>());
        tasks.stop(Duration::from_millis(10)).await;
    }
}
