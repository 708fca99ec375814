use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// Bytes that a request may need beside its body: its head, and the small change of HTTP/2.
const REQUEST_BYTES: u64 = 8 << 10;

/// One connection, as its transport, its requests and the pools see it.
#[derive(Debug, Default)]
pub struct Connection {
    begun: AtomicU64,
    ended: AtomicU64,
    /// Bytes that came.
    received: AtomicU64,
    /// How many that were when the last request ended.
    received_at_end: AtomicU64,
    /// Bytes of bodies that were taken.
    bodies: AtomicU64,
    waits_for_peer: AtomicBool,
    evicted: AtomicBool,
    changed: Notify,
}

/// A request under way; ends when dropped: its answer is sent, or there is none.
#[derive(Debug)]
pub struct ActiveRequest(Arc<Connection>);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let connection = &self.0;
        let received = connection.received.load(Ordering::Relaxed);
        connection
            .received_at_end
            .store(received, Ordering::Relaxed);
        connection.ended.fetch_add(1, Ordering::Relaxed);
    }
}

impl Connection {
    /// A request has come.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> ActiveRequest {
        self.begun.fetch_add(1, Ordering::Relaxed);
        ActiveRequest(Arc::clone(self))
    }

    /// So many bytes came; not counted one by one by several.
    pub fn received(&self, bytes: u64) {
        let received = self.received.load(Ordering::Relaxed) + bytes;
        self.received.store(received, Ordering::Relaxed);
    }

    /// Bytes that came in all.
    #[must_use]
    pub fn all_received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// So many bytes of a body were taken.
    pub fn took_body(&self, bytes: u64) {
        self.bodies.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that its requests and their bodies account for.
    #[must_use]
    pub fn accounted(&self) -> u64 {
        // HTTP/2 and TLS take a part for their own.
        let bodies = self.bodies.load(Ordering::Relaxed);
        self.begun.load(Ordering::Relaxed) * REQUEST_BYTES + bodies + bodies / 4
    }

    /// Whether all that came was looked at and more is waited for.
    pub fn set_waiting(&self, waits: bool) {
        self.waits_for_peer.store(waits, Ordering::Relaxed);
    }

    /// See [`Self::set_waiting`].
    #[must_use]
    pub fn waits_for_peer(&self) -> bool {
        self.waits_for_peer.load(Ordering::Relaxed)
    }

    /// Its place goes to another one: it ends now.
    pub fn evict(&self) {
        self.evicted.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// See [`Self::evict`].
    #[must_use]
    pub fn is_evicted(&self) -> bool {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Ends when it is evicted; for one who waits.
    pub async fn evicted(&self) {
        while !self.is_evicted() {
            self.changed.notified().await;
        }
    }

    /// Ends when no request came within `limit`, counted from now; else never.
    pub async fn silent(&self, limit: Duration) {
        tokio::time::sleep(limit).await;
        if self.begun.load(Ordering::Relaxed) > 0 {
            std::future::pending().await
        }
    }

    /// Ends once something was under way for one `limit`, at most two, and nothing came to its end in
    /// it: answers that nobody reads.
    pub async fn stuck(&self, limit: Duration) {
        loop {
            let ended = self.ended.load(Ordering::Relaxed);
            let waits = self.begun.load(Ordering::Relaxed) != ended;
            tokio::time::sleep(limit).await;
            if waits && self.ended.load(Ordering::Relaxed) == ended {
                return;
            }
        }
    }

    /// Ends once nothing was asked or under way for one `limit`, at most two.
    pub async fn idle(&self, limit: Duration) {
        loop {
            let before = self.begun.load(Ordering::Relaxed);
            tokio::time::sleep(limit).await;
            if self.idle_since(before) {
                return;
            }
        }
    }

    /// Ends once a part of a head has been there for one `limit`, at most two, and no more than that.
    pub async fn half_head(&self, limit: Duration) {
        loop {
            let before = self.begun.load(Ordering::Relaxed);
            let received = self.received.load(Ordering::Relaxed);
            let part = received != self.received_at_end.load(Ordering::Relaxed);
            tokio::time::sleep(limit).await;
            if part && self.idle_since(before) {
                return;
            }
        }
    }

    fn idle_since(&self, begun: u64) -> bool {
        let ended = self.ended.load(Ordering::Relaxed);
        begun == ended && begun == self.begun.load(Ordering::Relaxed)
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
        let connection = Arc::new(Connection::default());
        assert!(ends(connection.idle(SHORT), LONG).await);
        let request = connection.begin();
        assert!(!ends(connection.idle(SHORT), SHORT * 10).await);
        drop(request);
        assert!(ends(connection.idle(SHORT), LONG).await);
    }

    #[tokio::test]
    async fn stuck_is_what_is_under_way_and_does_not_end() {
        let connection = Arc::new(Connection::default());
        assert!(!ends(connection.stuck(SHORT), SHORT * 10).await);
        let stays = connection.begin();
        assert!(ends(connection.stuck(SHORT), LONG).await);
        let others = async {
            loop {
                tokio::time::sleep(SHORT / 2).await;
                drop(connection.begin());
            }
        };
        tokio::select! {
            () = connection.stuck(SHORT * 20) => panic!("others come to their end"),
            () = others => {}
            () = tokio::time::sleep(SHORT * 60) => {}
        }
        drop(stays);
    }

    #[tokio::test]
    async fn who_has_spoken_once_is_not_silent() {
        let connection = Arc::new(Connection::default());
        assert!(ends(connection.silent(SHORT), LONG).await);
        drop(connection.begin());
        assert!(!ends(connection.silent(SHORT), SHORT * 10).await);
    }

    #[tokio::test]
    async fn half_a_head_is_what_came_after_the_last_request() {
        let connection = Arc::new(Connection::default());
        let request = connection.begin();
        connection.received(100);
        drop(request);
        assert!(!ends(connection.half_head(SHORT), SHORT * 10).await);
        connection.received(1);
        assert!(ends(connection.half_head(SHORT), LONG).await);
    }

    #[tokio::test]
    async fn who_is_evicted_hears_of_it_before_and_after() {
        let connection = Connection::default();
        connection.evict();
        connection.evicted().await;
        connection.evicted().await;
        let connection = Connection::default();
        tokio::join!(connection.evicted(), async { connection.evict() });
    }
}
