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
}

impl Tasks {
    /// Runs until it ends, or until the tasks are stopped: then it is dropped where it waits, and the
    /// result is none.
    pub(super) fn spawn<F>(&self, task: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let stop = self.stop.clone();
        self.tracker.spawn(stop.run_until_cancelled_owned(task))
    }

    /// Runs to its own end, for which it is told of the stop.
    pub(super) fn spawn_to_its_end<F>(
        &self,
        task: impl FnOnce(CancellationToken) -> F,
    ) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.tracker.spawn(task(self.stop.clone()))
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
    async fn one_that_does_not_end_holds_up_nobody() {
        let tasks = Tasks::default();
        tasks.spawn_to_its_end(|_| std::future::pending::<()>());
        tasks.stop(Duration::from_millis(10)).await;
    }
}
