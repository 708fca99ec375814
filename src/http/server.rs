//! Listening: TLS handshake, who it is, HTTP/1.1 or HTTP/2 by ALPN, graceful stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::metrics::Metrics;
use crate::tls::Peer;

/// Limits of connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open at once.
    pub connections: usize,
    /// For a handshake, and for the head of a request.
    pub header_timeout: Duration,
    /// For requests under way at the end.
    pub grace: Duration,
}

/// Serves until `stop`, then lets requests under way end.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    router: Router,
    metrics: Metrics,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let places = Arc::new(Semaphore::new(limits.connections));
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, place)) = accepted else {
            continue;
        };
        let connection = Connection {
            router: router.clone(),
            metrics: metrics.clone(),
            header_timeout: limits.header_timeout,
            stop: stop.clone(),
            _place: place,
        };
        tokio::spawn(connection.run(acceptor.clone(), stream));
    }
    drop(listener);
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    if tokio::time::timeout(limits.grace, places.acquire_many(all))
        .await
        .is_err()
    {
        tracing::warn!("connections were still open at the end of the grace period");
    }
}

/// The next connection, once there is room for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            // Out of file descriptors: some close in a moment.
            tracing::warn!(%error, "a connection was not accepted");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

struct Connection {
    router: Router,
    metrics: Metrics,
    header_timeout: Duration,
    stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn run(self, acceptor: TlsAcceptor, stream: TcpStream) {
        // Answers are small and whole: waiting to fill a segment would only delay them.
        let _ = stream.set_nodelay(true);
        let handshake = tokio::time::timeout(self.header_timeout, acceptor.accept(stream));
        let Ok(Ok(stream)) = handshake.await else {
            self.metrics.failed_handshakes.inc();
            return;
        };
        let Some(peer) = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(<[_]>::first)
            .map(Peer::of)
        else {
            return;
        };
        self.metrics.connections.inc();
        let open = self.metrics.connections.clone();
        self.speak(stream, peer).await;
        open.dec();
    }

    async fn speak(mut self, stream: TlsStream<TcpStream>, peer: Peer) {
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2".as_slice());
        let service = TowerToHyperService::new(self.router.layer(Extension(Arc::new(peer))));
        let stream = TokioIo::new(stream);
        // An error of a connection is the client's: it hears of it, or is gone.
        if http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new());
            builder
                .max_concurrent_streams(256)
                .max_header_list_size(16 << 10);
            builder.keep_alive_interval(Duration::from_secs(30));
            // hyper waits for the preface for ever, and a silent client would keep its place.
            let spoken = Arc::new(AtomicBool::new(false));
            let heard = Arc::clone(&spoken);
            let service = service_fn(move |request| {
                heard.store(true, Ordering::Relaxed);
                service.call(request)
            });
            let connection = builder.serve_connection(stream, service);
            tokio::pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => return,
                () = silence(self.header_timeout, &spoken) => return,
                _ = self.stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        } else {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new());
            builder
                .header_read_timeout(self.header_timeout)
                .max_buf_size(64 << 10);
            let connection = builder.serve_connection(stream, service);
            tokio::pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = self.stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        }
    }
}

/// Ends when no request came within `patience`; else never.
async fn silence(patience: Duration, spoken: &AtomicBool) {
    tokio::time::sleep(patience).await;
    if spoken.load(Ordering::Relaxed) {
        std::future::pending().await
    }
}
