use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// Bytes that a request may need beside its body: its head, and control frames of HTTP/2.
const REQUEST_BYTES: u64 = 8 << 10;

/// One connection, as its transport, its requests and the pools see it.
#[derive(Debug, Default)]
pub struct Connection {
    begun: AtomicU64,
    ended: AtomicU64,
    /// Bytes received from the client so far, after TLS.
    received: AtomicU64,
    /// The value of `received` when the last request ended.
    received_at_end: AtomicU64,
    /// Bytes of request bodies that were read so far.
    bodies: AtomicU64,
    waits_for_peer: AtomicBool,
    evicted: AtomicBool,
    changed: Notify,
}

/// A request under way. It ends when this is dropped: its answer is sent, or it has none.
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
    /// Counts a request that has come.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> ActiveRequest {
        self.begun.fetch_add(1, Ordering::Relaxed);
        ActiveRequest(Arc::clone(self))
    }

    /// Counts received bytes. Only one task may call it: it reads and writes in two steps.
    pub fn received(&self, bytes: u64) {
        let received = self.received.load(Ordering::Relaxed) + bytes;
        self.received.store(received, Ordering::Relaxed);
    }

    /// Bytes received from the client so far.
    #[must_use]
    pub fn all_received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Counts bytes of a request body that were read.
    pub fn took_body(&self, bytes: u64) {
        self.bodies.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that a client may have sent for the requests and bodies seen so far.
    #[must_use]
    pub fn accounted(&self) -> u64 {
        // A quarter more than the bodies: HTTP/2 and TLS add their own bytes.
        let bodies = self.bodies.load(Ordering::Relaxed);
        self.begun.load(Ordering::Relaxed) * REQUEST_BYTES + bodies + bodies / 4
    }

    /// Says whether all received bytes are handled, so that the connection waits for its client.
    pub fn set_waiting(&self, waits: bool) {
        self.waits_for_peer.store(waits, Ordering::Relaxed);
    }

    /// See [`Self::set_waiting`].
    #[must_use]
    pub fn waits_for_peer(&self) -> bool {
        self.waits_for_peer.load(Ordering::Relaxed)
    }

    /// Ends this connection, because another one gets its place.
    pub fn evict(&self) {
        self.evicted.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// See [`Self::evict`].
    #[must_use]
    pub fn is_evicted(&self) -> bool {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Waits until it is evicted.
    pub async fn evicted(&self) {
        while !self.is_evicted() {
            self.changed.notified().await;
        }
    }

    /// Returns if no request comes within `limit` from now. Otherwise it never returns.
    pub async fn silent(&self, limit: Duration) {
        tokio::time::sleep(limit).await;
        if self.begun.load(Ordering::Relaxed) > 0 {
            std::future::pending().await
        }
    }

    /// Returns when requests were under way for one or two times `limit` and none of them ended: the
    /// client does not read its answers.
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

    /// Returns when there was no request for one or two times `limit`.
    pub async fn idle(&self, limit: Duration) {
        loop {
            let before = self.begun.load(Ordering::Relaxed);
            tokio::time::sleep(limit).await;
            if self.idle_since(before) {
                return;
            }
        }
    }

    /// Returns when only a part of a request's head has been there for one or two times `limit`.
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
