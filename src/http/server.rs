//! The listener of the API: TLS handshake, identity of the client, HTTP/1.1 or HTTP/2 by ALPN, graceful stop.

use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::{BoxError, Router};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use tokio_rustls::server::TlsStream;

use super::answer::Answer;
use super::connection::ConnectionContext;
use super::request::Responder;
use super::routes::router;
use super::socket::Socket;
use super::state::ApiState;
use crate::admission::{self, CLIENT_STREAMS, STRANGER_STREAMS, Seat};
use crate::identity::tls::{Accepted, ClientStream, Session};

/// Bytes that a client may send before they are read, on a connection and on each of its streams.
const CLIENT_WINDOW: u32 = 256 << 10;
/// The same for a stranger.
const STRANGER_WINDOW: u32 = 64 << 10;
/// Number of streams that we reset before a connection is closed.
const RESETS: usize = 64;
/// Largest head of a request, in bytes.
const HEAD_BYTES: u32 = 16 << 10;

/// The timeouts of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// How long a handshake may take, and how long the head of a request.
    pub header_timeout: Duration,
    /// How long a connection may be idle between two requests.
    pub idle_timeout: Duration,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// How long a stop waits for the requests that are being run.
    pub grace: Duration,
}

/// Serves until `stop`. Requests that are being run then may end. Connections are accepted and handshakes are
/// made on threads of their own. Requests are answered in the runtime of the caller.
pub async fn serve(
    listener: TcpListener,
    service: Arc<ApiState>,
    timeouts: Timeouts,
    stop: watch::Receiver<bool>,
) {
    let router = router(Arc::clone(&service));
    // Each connection holds a sender until it is closed.
    let (open, mut all_closed) = mpsc::channel::<()>(1);
    let (handshakes, clients) = (Arc::clone(&service), Handle::current());
    let arrivals = async move {
        let mut stopped = stop.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => break,
                accepted = accept(&listener) => accepted,
            };
            let Some((stream, address)) = accepted else {
                continue;
            };
            let connection = Arc::default();
            let Some(place) = service.admission.handshake(address, &connection) else {
                continue;
            };
            let seat = Arc::new(Mutex::new(Seat::Handshake(place)));
            let incoming = Arriving {
                router: router.clone(),
                service: Arc::clone(&service),
                timeouts,
                address,
                connection: Arc::clone(&connection),
                seat: Arc::downgrade(&seat),
                stop: stop.clone(),
                clients: clients.clone(),
            };
            let socket = Socket::new(stream, connection, (seat, open.clone()));
            tokio::spawn(incoming.run(socket));
        }
    };
    if let Err(error) = handshakes.handshakes.spawn(arrivals).await {
        tracing::error!(%error, "no more connections are taken");
    }
    if tokio::time::timeout(timeouts.grace, all_closed.recv())
        .await
        .is_err()
    {
        tracing::warn!("connections were still open at the end of the grace period");
    }
}

/// Accepts the next connection.
pub(super) async fn accept(listener: &TcpListener) -> Option<(TcpStream, IpAddr)> {
    match listener.accept().await {
        Ok((stream, address)) => Some((stream, address.ip())),
        Err(error) => {
            // No file descriptor is free. Some connections close soon.
            tracing::warn!(%error, "a connection was not accepted");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

type Client = TlsStream<ClientStream<TcpSocket>>;
type TcpSocket = Socket<(Arc<Mutex<Seat>>, mpsc::Sender<()>)>;

/// A connection before its handshake has ended.
struct Arriving {
    router: Router,
    service: Arc<ApiState>,
    timeouts: Timeouts,
    address: IpAddr,
    connection: Arc<admission::Connection>,
    seat: Weak<Mutex<Seat>>,
    stop: watch::Receiver<bool>,
    /// Where it is answered once its client is known.
    clients: Handle,
}

impl Arriving {
    async fn run(self, socket: TcpSocket) {
        let connection = Arc::clone(&self.connection);
        let mut stop = self.stop.clone();
        let (handshakes, gate) = (&self.service.handshakes, &self.service.gate);
        let limit = self.timeouts.header_timeout;
        let accepted = tokio::select! {
            accepted = handshakes.accept(socket, self.address, gate, limit) => accepted,
            () = connection.evicted() => return,
            // Nothing is under way for it, and its task would hold the service.
            _ = stop.wait_for(|stop| *stop) => return,
        };
        if let Ok(accepted) = accepted {
            self.clients.clone().spawn(self.answer(accepted));
        }
    }

    async fn answer(
        self,
        Accepted {
            mut stream,
            session,
        }: Accepted<TcpSocket>,
    ) {
        let metrics = self.service.metrics.clone();
        let connection = Arc::clone(&self.connection);
        if let Err(error) = stream.get_mut().0.get_mut().move_here() {
            tracing::warn!(%error, "a connection cannot be watched");
            return;
        }
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2".as_slice());
        let Some(context) = self.occupy(&session, http2) else {
            return;
        };
        let mut over = session.watch(&self.service.gate);
        let _open = metrics.open_connection();
        // When the certificate is not valid any more, the connection and its requests are dropped.
        tokio::select! {
            () = self.serve(stream, http2, context) => over.abort(),
            () = connection.evicted() => over.abort(),
            _ = &mut over => {
                metrics.cut_off.inc();
            }
        }
    }

    /// Takes a seat for the client, and gives back the seat of the handshake.
    fn occupy(&self, session: &Arc<Session>, http2: bool) -> Option<ConnectionContext> {
        let (session, connection) = (Arc::clone(session), Arc::clone(&self.connection));
        let seat = Weak::clone(&self.seat);
        let mut context =
            ConnectionContext::seat(&self.service, session, connection, self.address, seat)?;
        let seconds = self.timeouts.idle_timeout.as_secs();
        let keep_alive = HeaderValue::from_str(&format!("timeout={seconds}")).ok();
        context.keep_alive = keep_alive.filter(|_| !http2 && seconds > 0);
        Some(context)
    }

    async fn serve(self, stream: Client, http2: bool, context: ConnectionContext) {
        let stranger = context.account().client().is_none();
        let context = Arc::new(context);
        let responder = Responder {
            router: self.router,
            service: self.service,
            connection: Arc::clone(&context),
        };
        let service = service_fn(move |request| responder.respond(request));
        let transport = Transport {
            timeouts: self.timeouts,
            connection: &context.connection,
            outdated: &context.outdated,
            stop: self.stop,
        };
        if http2 {
            transport.serve_http2(stream, service, stranger).await;
        } else {
            transport.serve_http1(stream, service).await;
        }
    }
}

/// Serves HTTP on a connection, within its timeouts.
pub(super) struct Transport<'a> {
    pub(super) timeouts: Timeouts,
    pub(super) connection: &'a admission::Connection,
    pub(super) outdated: &'a Notify,
    pub(super) stop: watch::Receiver<bool>,
}

impl Transport<'_> {
    async fn serve_http2<S, H>(mut self, stream: Client, service: S, stranger: bool)
    where
        S: Service<Request<Incoming>, Response = Response<Answer<H>>, Future: Send + 'static>,
        S::Error: Into<BoxError>,
        H: Send + Unpin + 'static,
    {
        let (streams, window) = match stranger {
            true => (STRANGER_STREAMS, STRANGER_WINDOW),
            false => (CLIENT_STREAMS, CLIENT_WINDOW),
        };
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new());
        builder
            .max_concurrent_streams(streams as u32)
            .initial_connection_window_size(window)
            .initial_stream_window_size(window)
            .max_local_error_reset_streams(RESETS)
            .max_header_list_size(HEAD_BYTES);
        builder.keep_alive_interval(Duration::from_secs(30));
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let timeouts = self.timeouts;
        let stuck = timeouts.request_timeout + timeouts.idle_timeout;
        // An error of a connection is caused by the client, which is told or is gone.
        tokio::select! {
            _ = connection.as_mut() => return,
            // hyper waits for the preface without a limit, and a silent client would keep its seat.
            () = self.connection.silent(timeouts.header_timeout) => return,
            // The buffer keeps what was sent until more is sent or the connection ends. It holds
            // the data key of the last answer.
            () = self.connection.idle(timeouts.idle_timeout) => connection.as_mut().graceful_shutdown(),
            () = self.connection.stuck(stuck) => return,
            () = self.outdated.notified() => connection.as_mut().graceful_shutdown(),
            _ = self.stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            _ = connection => {}
            () = self.connection.idle(timeouts.idle_timeout) => {}
            () = self.connection.stuck(stuck) => {}
        }
    }

    /// The timeout for a head is watched here with two counters. hyper moves a timer with every request,
    /// which costs more.
    pub(super) async fn serve_http1<IO, S, H>(mut self, stream: IO, service: S)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Incoming>, Response = Response<Answer<H>>, Error: Into<BoxError>>,
        H: Send + Unpin + 'static,
    {
        let mut builder = http1::Builder::new();
        builder
            .max_buf_size(64 << 10)
            .max_header_size(HEAD_BYTES as usize)
            // Who has sent its request may close its side, and still wants the answer.
            .half_close(true);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let timeouts = self.timeouts;
        let stuck = timeouts.request_timeout + timeouts.idle_timeout;
        tokio::select! {
            _ = connection.as_mut() => return,
            () = self.connection.idle(timeouts.idle_timeout) => connection.as_mut().graceful_shutdown(),
            // A connection without any byte after the handshake also counts as half a head.
            () = self.connection.half_head(timeouts.header_timeout) => return,
            () = self.connection.stuck(stuck) => return,
            () = self.outdated.notified() => connection.as_mut().graceful_shutdown(),
            _ = self.stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            _ = connection => {}
            // A part of a head has arrived.
            () = self.connection.idle(timeouts.header_timeout) => {}
            () = self.connection.stuck(stuck) => {}
        }
    }
}
