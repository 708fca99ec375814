//! Listening: TLS handshake, who it is, HTTP/1.1 or HTTP/2 by ALPN, graceful stop.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use lethe_core::ports::Clock as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::activity::Activity;
use super::patience::Patience;
use super::router::Router;
use super::socket::Socket;
use crate::clock::HandshakeClock;
use crate::service::Service as Lethe;
use crate::tls::Session;

/// Limits of connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open at once.
    pub connections: usize,
    /// For a handshake, and for the head of a request.
    pub header_timeout: Duration,
    /// Between requests of an HTTP/2 connection.
    pub idle_timeout: Duration,
    /// For requests under way at the end.
    pub grace: Duration,
}

/// Serves until `stop`, then lets requests under way end.
pub async fn serve(
    listener: TcpListener,
    service: Arc<Lethe>,
    router: Arc<Router>,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
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
            router: Arc::clone(&router),
            service: Arc::clone(&service),
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            longest: service.request_timeout,
            stop: stop.clone(),
        };
        tokio::spawn(connection.run(Socket::new(stream, place)));
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

type Stream = TokioIo<TlsStream<Socket<OwnedSemaphorePermit>>>;

/// What answers the requests of a connection.
trait Answers:
    Service<
        Request<Incoming>,
        Response = Response<Full<Bytes>>,
        Error = Infallible,
        Future: Send + 'static,
    > + Send
    + 'static
{
}

impl<S> Answers for S where
    S: Service<
            Request<Incoming>,
            Response = Response<Full<Bytes>>,
            Error = Infallible,
            Future: Send + 'static,
        > + Send
        + 'static
{
}

/// A connection as its requests see it.
pub(super) struct Connected {
    /// Who is at its other end.
    pub(super) session: Arc<Session>,
    /// For each of its requests.
    pub(super) patience: Patience,
}

struct Connection {
    router: Arc<Router>,
    service: Arc<Lethe>,
    header_timeout: Duration,
    idle_timeout: Duration,
    /// That a request may take.
    longest: Duration,
    stop: watch::Receiver<bool>,
}

impl Connection {
    async fn run(self, stream: Socket<OwnedSemaphorePermit>) {
        let metrics = self.service.metrics.clone();
        let (tls, trust) = {
            let rules = self.service.gate.rules();
            (Arc::clone(&rules.tls().server), rules.trust())
        };
        let handshake = TlsAcceptor::from(tls).accept(stream);
        let Ok(Ok(stream)) = tokio::time::timeout(self.header_timeout, handshake).await else {
            metrics.failed_handshakes.inc();
            return;
        };
        let chain = stream.get_ref().1.peer_certificates().map(<[_]>::to_vec);
        let chain = chain.unwrap_or_default();
        let Some(session) = Session::new(chain, trust, HandshakeClock.now()) else {
            return;
        };
        let session = Arc::new(session);
        let mut over = Arc::clone(&session).watch(&self.service);
        let _open = metrics.open_connection();
        // Whatever is under way is dropped with the connection when its client is not taken any more.
        tokio::select! {
            () = self.speak(stream, session) => over.abort(),
            _ = &mut over => {
                metrics.cut_off.inc();
            }
        }
    }

    async fn speak(self, stream: TlsStream<Socket<OwnedSemaphorePermit>>, session: Arc<Session>) {
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2".as_slice());
        let stream = TokioIo::new(stream);
        let connected = Connected {
            session,
            patience: Patience::default(),
        };
        let connected = Arc::new(connected);
        let activity = Arc::new(Activity::default());
        let (router, seen) = (Arc::clone(&self.router), Arc::clone(&activity));
        let service = service_fn(move |request: Request<Incoming>| {
            let under_way = seen.begin();
            let answer = router.answer(&connected, request);
            async move {
                let answer = answer.await;
                Ok::<_, Infallible>(answer.map(|content| content.until_sent(under_way)))
            }
        });
        if http2 {
            self.speak_http2(stream, service, &activity).await;
        } else {
            self.speak_http1(stream, service, &activity).await;
        }
    }

    async fn speak_http2(mut self, stream: Stream, service: impl Answers, activity: &Activity) {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new());
        builder
            .max_concurrent_streams(256)
            .max_header_list_size(16 << 10);
        builder.keep_alive_interval(Duration::from_secs(30));
        let connection = builder.serve_connection(stream, service);
        tokio::pin!(connection);
        // An error of a connection is the client's: it hears of it, or is gone.
        tokio::select! {
            _ = connection.as_mut() => return,
            // hyper waits for the preface for ever, and a silent client would keep its place.
            () = activity.silent(self.header_timeout) => return,
            // What was sent stays in its buffer until more is sent or it ends: the begin of each
            // frame, and with it the data key of the last answer.
            () = activity.idle(self.idle_timeout) => connection.as_mut().graceful_shutdown(),
            () = activity.stuck(self.longest + self.idle_timeout) => return,
            _ = self.stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            _ = connection => {}
            () = activity.idle(self.idle_timeout) => {}
            () = activity.stuck(self.longest + self.idle_timeout) => {}
        }
    }

    /// The time limit for a head is watched here: hyper's moves a timer with every request, which
    /// costs more than two counters.
    async fn speak_http1(mut self, stream: Stream, service: impl Answers, activity: &Activity) {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(64 << 10);
        let connection = builder.serve_connection(stream, service);
        tokio::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            // No whole head came meanwhile, and no answer is under way.
            () = activity.idle(self.header_timeout) => connection.as_mut().graceful_shutdown(),
            () = activity.stuck(self.longest + self.header_timeout) => return,
            _ = self.stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            _ = connection => {}
            // Half a head.
            () = activity.idle(self.header_timeout) => {}
            () = activity.stuck(self.longest + self.header_timeout) => {}
        }
    }
}
