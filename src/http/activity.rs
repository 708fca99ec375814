use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    begun: AtomicU64,
    ended: AtomicU64,
}

/// A request under way; ends when dropped: its answer is sent, or there is none.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Activity>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

impl Activity {
    /// A request has come.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.begun.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// Ends when no request came within `patience`, counted from now; else never.
    pub(super) async fn silent(&self, patience: Duration) {
        tokio::time::sleep(patience).await;
        if self.begun.load(Ordering::Relaxed) > 0 {
            std::future::pending().await
        }
    }

    /// Ends once something was under way for one `patience`, at most two, and nothing came to its end in
    /// it: answers that nobody reads.
    pub(super) async fn stuck(&self, patience: Duration) {
        loop {
            let ended = self.ended.load(Ordering::Relaxed);
            let waits = self.begun.load(Ordering::Relaxed) != ended;
            tokio::time::sleep(patience).await;
            if waits && self.ended.load(Ordering::Relaxed) == ended {
                return;
            }
        }
    }

    /// Ends once nothing was asked or under way for one `patience`, at most two.
    pub(super) async fn idle(&self, patience: Duration) {
        loop {
            let before = self.begun.load(Ordering::Relaxed);
            tokio::time::sleep(patience).await;
            let ended = self.ended.load(Ordering::Relaxed);
            if before == ended && before == self.begun.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(30);

    async fn ends(work: impl Future<Output = ()>, within: Duration) -> bool {
        tokio::time::timeout(within, work).await.is_ok()
    }

    #[tokio::test]
    async fn idle_is_neither_a_new_request_nor_one_under_way() {
        let activity = Arc::new(Activity::default());
        assert!(ends(activity.idle(SHORT), LONG).await);
        let request = activity.begin();
        assert!(!ends(activity.idle(SHORT), SHORT * 10).await);
        drop(request);
        assert!(ends(activity.idle(SHORT), LONG).await);
    }

    #[tokio::test]
    async fn stuck_is_what_is_under_way_and_does_not_end() {
        let activity = Arc::new(Activity::default());
        assert!(!ends(activity.stuck(SHORT), SHORT * 10).await);
        let stays = activity.begin();
        assert!(ends(activity.stuck(SHORT), LONG).await);
        let others = async {
            loop {
                tokio::time::sleep(SHORT / 2).await;
                drop(activity.begin());
            }
        };
        tokio::select! {
            () = activity.stuck(SHORT * 20) => panic!("others come to their end"),
            () = others => {}
            () = tokio::time::sleep(SHORT * 60) => {}
        }
        drop(stays);
    }

    #[tokio::test]
    async fn who_has_spoken_once_is_not_silent() {
        let activity = Arc::new(Activity::default());
        assert!(ends(activity.silent(SHORT), LONG).await);
        drop(activity.begin());
        assert!(!ends(activity.silent(SHORT), SHORT * 10).await);
    }
}
